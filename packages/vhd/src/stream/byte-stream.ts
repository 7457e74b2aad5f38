import type { ReadOptions } from '../chain/extents.ts'
import type { VhdChain } from '../operations/open-vhd-chain.ts'

/** Bytes in order, with their number known before the first. It can be read once per loop. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** Exactly so many bytes come: a Content-Length. */
  readonly sizeBytes: number
}

/** Bytes of zeros that are handed out at a time. */
const zeroBytes = 256 * 1024

/** So many zeros, in chunks. */
export function* zeroes(length: number): Generator<Uint8Array, void, void> {
  const chunk = new Uint8Array(Math.min(length, zeroBytes))
  for (let left = length; left > 0; left -= chunk.length)
    yield chunk.subarray(0, Math.min(left, chunk.length))
}

/**
 * A chain as a raw disk. Chunks of zeros share their memory: they are for reading only.
 */
export function streamRaw(chain: VhdChain, options: ReadOptions = {}): ByteStream {
  return {
    sizeBytes: chain.size,
    async *[Symbol.asyncIterator]() {
      for await (const { data, length } of chain.extents({ findZeroes: false, ...options })) {
        if (data === undefined) yield* zeroes(length)
        else yield data
      }
    },
  }
}
