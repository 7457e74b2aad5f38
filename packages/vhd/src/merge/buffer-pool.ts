import { allocateBuffer } from '@disk-image/io'

/** Gives out buffers of one size and takes them back: memory stays flat however much is read. */
export interface BufferPool {
  /** A buffer with anything in it. */
  take(): Uint8Array
  giveBack(buffer: Uint8Array): void
}

/** @param bytes size of each buffer */
export function createBufferPool(bytes: number): BufferPool {
  const free: Uint8Array[] = []
  return {
    take: () => free.pop() ?? allocateBuffer(bytes),
    giveBack: (buffer) => {
      // A window without data has an empty one, which must never be lent for data.
      if (buffer.length === bytes) free.push(buffer)
    },
  }
}
