import type { Target } from '@disk-image/core'
import type { HeldRange } from './held-ranges.ts'

/**
 * A volume opened for one pass of writing. About 1 MiB each is fastest; what is written beyond the size that was
 * announced is refused.
 *
 * `zero` makes a hole in a file; on a device, zeros that are known or written. `commit` sets a file's length, and when
 * everything else is on the disk writes the head, or gives a new file its name; what was opened as not durable is done
 * in the same order, without waiting for the disk. It throws an `InvalidError` where something else has the new
 * file's name by then. `abandon` removes a new file, makes a hole of one that was there, and wipes the ends of a
 * device, where anything was written.
 */
export interface Volume extends Target {
  readonly path: string
  readonly kind: 'file' | 'block-device'
  /** Capacity of a device; of a file, what was announced, or 0. */
  readonly sizeBytes: number
  /** Whether it is a new file. It has its name when it is committed, not before. */
  readonly created: boolean
  /** Whether anything of the old content may be gone. */
  readonly touched: boolean
  /** Closes it; abandons it first where it was touched and not committed. */
  close(): Promise<void>
}

/** What a kind of volume does differently. Offsets and lengths are checked by then. */
export interface VolumeTarget {
  readonly kind: Volume['kind']
  readonly sizeBytes: number
  /** What is written last. Nothing of a file that has no name yet, or is nobody's but ours. */
  readonly held: readonly HeldRange[]
  /** Called once, before anything is written: makes all old content unreadable, as cheaply as it can. */
  prepare(): Promise<void>
  /** Whether `prepare` left nothing but zeros. */
  zeroed(): boolean
  /** Called before a write that ends there. */
  reach(end: number): Promise<void>
  setLength(totalBytes: number): Promise<void>
}
