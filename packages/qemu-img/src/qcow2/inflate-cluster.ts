import { constants, inflateRawSync, zstdDecompressSync } from 'node:zlib'
import { maximumWindowLog, measureZstdFrame } from './zstd-frame.ts'

/** A cluster's content, and how many of the given bytes it was made from. */
export interface InflatedCluster {
  readonly content: Uint8Array
  readonly consumedBytes: number
}

/**
 * Frees an inflated cluster that was copied. Left to the collector, some 64 MiB of them pile up in each thread.
 * Only a buffer that was made for this cluster alone is touched: no pool is of that size.
 */
export function freeInflated(content: Uint8Array, clusterSize: number): void {
  const { buffer } = content
  if (buffer instanceof ArrayBuffer && buffer.byteLength === clusterSize + slackBytes) buffer.transfer(0)
}

/** Room behind the cluster, so that one call also sees the end of the stream. */
const slackBytes = 64

/**
 * Inflates one compressed cluster. `input` may have anything behind the stream.
 *
 * @returns why it can't be, where the stream is damaged, cut short, or not exactly one cluster
 */
export function inflateCluster(
  input: Uint8Array,
  compression: 'zlib' | 'zstd',
  clusterSize: number,
): InflatedCluster | string {
  try {
    const inflated =
      compression === 'zlib' ? inflateZlib(input, clusterSize) : inflateZstd(input, clusterSize)
    if (typeof inflated === 'string') return inflated
    if (inflated.content.byteLength !== clusterSize) return 'inflates to less than a cluster'
    return inflated
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    if (code === 'ERR_BUFFER_TOO_LARGE') return 'inflates to more than a cluster'
    if (code.startsWith('Z_') || code.startsWith('ZSTD_') || code.startsWith('ERR_ZSTD')) {
      return `can not be inflated (${code})`
    }
    throw error
  }
}

function inflateZlib(input: Uint8Array, clusterSize: number): InflatedCluster {
  // With `info`, Node returns the buffer and the engine, whose counter is of input bytes.
  const result = inflateRawSync(input, {
    chunkSize: clusterSize + slackBytes,
    maxOutputLength: clusterSize,
    info: true,
  }) as unknown as { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } }
  return { content: result.buffer, consumedBytes: result.engine.bytesWritten }
}

function inflateZstd(input: Uint8Array, clusterSize: number): InflatedCluster | string {
  const frameBytes = measureZstdFrame(input)
  if (frameBytes === undefined) return 'holds no whole Zstandard frame that the decoder takes'
  const content = zstdDecompressSync(input.subarray(0, frameBytes), {
    chunkSize: clusterSize + slackBytes,
    maxOutputLength: clusterSize,
    params: { [constants.ZSTD_d_windowLogMax]: maximumWindowLog + 1 },
  })
  return { content, consumedBytes: frameBytes }
}
