import type { CallOptions } from '../progress.ts'
import type { Target } from './target.ts'

/**
 * A disk laid out as an image file: what the file is made of is decided, its bytes are made when they are asked for.
 * The disk stays open until all of them are there.
 *
 * Same disk and same options: same bytes. A disk that changes, fails or ends early while it is read makes both ways
 * reject; what they made so far must not be used.
 */
export interface EncodedImage {
  /** In qemu-img's terms. */
  readonly format: string
  /** Bytes of the file, exactly, where they are known before the first one. */
  readonly sizeBytes: number | undefined
  /** Most bytes that `open` puts into its spool. */
  readonly temporaryBytes: number
  /**
   * The file's bytes in order, from the start each time. A chunk is valid until the next one is asked for, and may be a
   * view of shared memory. Progress counts bytes of the disk.
   */
  open(options?: CallOptions): AsyncIterable<Uint8Array>
  /**
   * Writes the same file at its places, what tells a reader that there is one last. Nothing is spooled. All of the file
   * is written or zeroed, its gaps too: there may be something else on the target.
   *
   * @returns bytes of the file. The caller commits.
   */
  writeTo(target: Pick<Target, 'write' | 'zero'>, options?: CallOptions): Promise<number>
  /** Wipes what of it is secret, the key of an encrypted one: it can't be made any more. Not while it is made. */
  close?(): Promise<void>
}
