import type { HeldRange } from './held-ranges.ts'

/** A volume opened for one pass of writing. */
export interface Volume extends AsyncDisposable {
  readonly path: string
  readonly kind: 'file' | 'block-device'
  /** Capacity of a device; of a file, what was announced, or 0. */
  readonly sizeBytes: number
  /** Whether it is a new file. It has its name when it is finished, not before. */
  readonly created: boolean
  /** Whether anything of the old content may be gone. */
  readonly touched: boolean
  /**
   * Writes all of the chunk. It may be a view of shared memory, and is not kept. Several may be under way at
   * once; about 1 MiB each is fastest.
   *
   * @throws {ImageTooBigError} where there is no room, and beyond the size that was announced
   */
  write(chunk: Uint8Array, offset: number): Promise<void>
  /** The range reads as zeros afterwards: a hole in a file; on a device, zeros that are known or written. */
  skip(offset: number, length: number): Promise<void>
  /**
   * Makes it whole: sets a file's length, and when everything else is on the disk writes the head, or gives a new
   * file its name. Returns when that is on the disk, too. What was opened as not durable is done in the same order,
   * without waiting for the disk.
   *
   * @param check is called with the path of the whole content; where it throws, the volume is not finished. A new
   * file has its temporary name then.
   * @throws {InvalidError} where something else has the new file's name by now
   */
  finish(totalBytes: number, check?: (path: string) => Promise<void>): Promise<void>
  /**
   * Makes sure that nothing half-written can be taken for an image: a new file is removed, one that was there
   * becomes a hole, and a device gets its ends zeroed, where anything was written. Never throws.
   */
  wipe(): Promise<void>
  /** Closes it; wipes it first where it was touched and not finished. */
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
