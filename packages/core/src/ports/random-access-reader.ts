/**
 * Bytes that can be read anywhere: a file, a buffer, an HTTP resource with Range.
 *
 * `read` returns at most `length` bytes from `offset`, fewer only at the end, none behind it. The returned
 * bytes belong to the caller.
 */
export interface RandomAccessReader {
  /** Bytes in all. */
  readonly size: number
  read(offset: number, length: number): Promise<Uint8Array>
}
