/**
 * Where in an `ArrayBuffer` the bytes of {@link allocateBuffer} begin.
 *
 * A large buffer has pages of its own, in which the allocator keeps the first 16 bytes for itself. What the kernel
 * copies there from the start of a page, as from a file's cache, lies nearly at the same place of its page, and
 * with `rep movsb` some processors take five times as long for that: 2.6 GB/s instead of 13 on AMD's Zen 3.
 *
 * @see https://sourceware.org/bugzilla/show_bug.cgi?id=30994 for the processors
 * @see https://github.com/apache/opendal/issues/3665 for the effect on reading files
 */
export const bufferOffset = 64

/** Memory of so many bytes, all zero, that files and sockets are read into at full speed. */
export function allocateBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(bufferOffset + bytes), bufferOffset)
}

/** The same, for several threads. */
export function allocateSharedBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bufferOffset + bytes), bufferOffset)
}
