import { constants, zstdDecompressSync } from 'node:zlib'
import { createRawInflater, type RawInflater } from './raw-inflater.ts'
import { maximumWindowLog, measureZstdFrame } from './zstd-frame.ts'

/** Room behind the cluster, so that one call also sees the end of the stream. */
export const inflateSlackBytes = 64

/** Inflates compressed clusters of one disk, one after the other. */
export class ClusterInflater {
  readonly #compression: 'zlib' | 'zstd'
  readonly #clusterSize: number
  readonly #inflateRaw: RawInflater

  constructor(
    compression: 'zlib' | 'zstd',
    clusterSize: number,
    inflateRaw: RawInflater = createRawInflater(),
  ) {
    this.#compression = compression
    this.#clusterSize = clusterSize
    this.#inflateRaw = inflateRaw
  }

  /**
   * Inflates one cluster to the output's start. `input` may have anything behind the stream.
   *
   * @param output as long as a cluster and {@link inflateSlackBytes}, which may be written, too
   * @returns how many bytes it was made from; or why it can't be, where the stream is damaged, cut short, or not
   *   exactly one cluster
   */
  inflate(input: Uint8Array, output: Uint8Array): number | string {
    if (output.byteLength !== this.#clusterSize + inflateSlackBytes) {
      throw new RangeError(`there is room for ${output.byteLength} bytes`)
    }
    const result =
      this.#compression === 'zlib' ? this.#inflateRaw(input, output) : this.#inflateZstd(input, output)
    if (typeof result === 'string') {
      return result.includes(' ') ? result : `can not be inflated (${result})`
    }
    if (result.producedBytes > this.#clusterSize) return 'inflates to more than a cluster'
    if (result.producedBytes < this.#clusterSize) return 'inflates to less than a cluster'
    return result.consumedBytes
  }

  #inflateZstd(input: Uint8Array, output: Uint8Array): ReturnType<RawInflater> {
    const frameBytes = measureZstdFrame(input)
    if (frameBytes === undefined) return 'holds no whole Zstandard frame that the decoder takes'
    try {
      const content = zstdDecompressSync(input.subarray(0, frameBytes), {
        chunkSize: output.byteLength,
        maxOutputLength: this.#clusterSize,
        params: { [constants.ZSTD_d_windowLogMax]: maximumWindowLog + 1 },
      })
      const producedBytes = content.byteLength
      output.set(content)
      free(content, output.byteLength)
      return { consumedBytes: frameBytes, producedBytes }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      if (code === 'ERR_BUFFER_TOO_LARGE') {
        return { consumedBytes: frameBytes, producedBytes: output.byteLength }
      }
      if (code.startsWith('Z_') || code.startsWith('ZSTD_') || code.startsWith('ERR_ZSTD')) return code
      throw error
    }
  }
}

/**
 * Frees what was copied. Left to the collector, some 64 MiB of it pile up in each thread. Only a buffer that was
 * made for one cluster alone is touched: no pool is of that size.
 */
function free({ buffer }: Uint8Array, bytes: number): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes) buffer.transfer(0)
}
