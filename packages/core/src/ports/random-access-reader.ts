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
