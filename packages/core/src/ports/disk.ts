import type { CallOptions } from '../progress.ts'

/** Neighbouring bytes of a disk that are of one kind. */
export interface Extent {
  /** Byte of the disk. */
  readonly offset: number
  /** Bytes, at least one. */
  readonly length: number
  /**
   * `data`: stored, and maybe zero all the same. `zero`: reads as zero. `hole`: reads as zero because nothing is
   * stored for it; a reader that can't tell says `zero`.
   */
  readonly kind: 'data' | 'zero' | 'hole'
}

/**
 * Takes a disk from its start to its end: each call begins where the one before ended. The bytes are only good
 * until the returned promise is settled.
 */
export interface DiskReceiver {
  data(offset: number, bytes: Uint8Array): Promise<void> | void
  /** So many bytes that read as zero. */
  zero(offset: number, length: number): Promise<void> | void
}

/**
 * The disk inside an image file, or a chain of them; `size` is the disk's, not the file's. It is itself a reader:
 * `read` returns the disk's bytes, zeroes included.
 *
 * What it throws has the rule that the image breaks; an abort rejects with the signal's reason. Memory does not
 * grow with the disk.
 */
export interface Disk extends RandomAccessReader, AsyncDisposable {
  /** The whole disk in order, without gaps. */
  extents(options?: CallOptions): AsyncIterable<Extent>
  /** The same with the bytes, read ahead, handed over one after the other. */
  copyTo(receiver: DiskReceiver, options?: CallOptions): Promise<void>
  /** Ends all reads. A reader or handle that was given stays open. */
  close(): Promise<void>
}

/**
 * Bytes that can be read anywhere: a file, a buffer, an HTTP resource with Range.
 *
 * `read` returns at most `length` bytes from `offset`, fewer only at the end, none behind it. The returned
 * bytes belong to the caller.
 *
 * A caller that reads often may lend `into`, of `length` bytes or more: a reader that fills memory puts them
 * there and returns that part of it. Any reader may leave it alone and return bytes of its own.
 *
 * A caller may ask again before it has its answer, so `read` must not depend on a position that it shares.
 */
export interface RandomAccessReader {
  /** Bytes in all. */
  readonly size: number
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
}
