import { freeBuffer } from '../inflate/free-buffer.ts'
import { createInflater, type Inflated } from '../inflate/inflater.ts'
import { maximumWindowLog, measureZstdFrame } from './zstd-frame.ts'

/** Room behind the cluster, so that one call also sees the end of the stream. */
export const inflateSlackBytes = 64

/** Inflates compressed clusters of one disk, one after the other. */
export class ClusterInflater {
  readonly #clusterSize: number
  readonly #inflate: (input: Uint8Array, output: Uint8Array) => Inflated | string

  constructor(compression: 'zlib' | 'zstd', clusterSize: number) {
    this.#clusterSize = clusterSize
    this.#inflate = compression === 'zlib' ? createZlibInflater() : inflateZstd
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
    const result = this.#inflate(input, output)
    if (typeof result === 'string') return result
    if (result.producedBytes > this.#clusterSize) return 'inflates to more than a cluster'
    if (result.producedBytes < this.#clusterSize) return 'inflates to less than a cluster'
    return result.consumedBytes
  }
}

function createZlibInflater(): (input: Uint8Array, output: Uint8Array) => Inflated | string {
  const inflate = createInflater('raw')
  return (input, output) => {
    const result = inflate(input, output)
    return typeof result === 'string' ? damaged(result) : result
  }
}

function inflateZstd(input: Uint8Array, output: Uint8Array): Inflated | string {
  const { constants, zstdDecompressSync } = process.getBuiltinModule('node:zlib')
  const frameBytes = measureZstdFrame(input)
  if (frameBytes === undefined) return 'holds no whole Zstandard frame that the decoder takes'
  try {
    const content = zstdDecompressSync(input.subarray(0, frameBytes), {
      chunkSize: output.byteLength,
      maxOutputLength: output.byteLength - inflateSlackBytes,
      params: { [constants.ZSTD_d_windowLogMax]: maximumWindowLog + 1 },
    })
    const producedBytes = content.byteLength
    output.set(content)
    freeBuffer(content, output.byteLength)
    return { consumedBytes: frameBytes, producedBytes }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      return { consumedBytes: frameBytes, producedBytes: output.byteLength }
    }
    if (/^(Z_|ZSTD_|ERR_ZSTD)/.test(code)) return damaged(code)
    throw error
  }
}

function damaged(code: string): string {
  return `can not be inflated (${code})`
}
