import { freeBuffer, createInflater, type Inflated } from './inflater.ts'

/** Largest window that a frame may ask for. RFC 8878 wants every decoder to have 8 MiB. */
const maximumWindowLog = 23

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

/**
 * Bytes of the Zstandard frame that `bytes` begins with, behind which anything may follow.
 *
 * @returns undefined where no whole data frame without dictionary is there, or its window is larger than 8 MiB
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
 */
export function measureZstdFrame(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength < 6 || view.getUint32(0, true) !== 0xfd2fb528) return undefined
  const descriptor = view.getUint8(4)
  const singleSegment = (descriptor & 0x20) !== 0
  const hasDictionary = (descriptor & 0x03) !== 0
  const hasReservedBit = (descriptor & 0x08) !== 0
  if (hasDictionary || hasReservedBit) return undefined
  // The exponent of the window; its mantissa makes it up to twice as large, less one byte.
  if (!singleSegment && 10 + (view.getUint8(5) >> 3) > maximumWindowLog) return undefined

  const sizeFlag = descriptor >> 6
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 2 ** sizeFlag
  let offset = 5 + (singleSegment ? 0 : 1) + sizeBytes
  for (;;) {
    if (offset + 3 > bytes.byteLength) return undefined
    const header = view.getUint8(offset) | (view.getUint16(offset + 1, true) << 8)
    const type = (header >> 1) & 3
    if (type === 3) return undefined
    // A run-length block is one byte, whatever it says of its size.
    offset += 3 + (type === 1 ? 1 : header >> 3)
    if ((header & 1) !== 0) break
  }
  offset += (descriptor & 0x04) === 0 ? 0 : 4
  return offset > bytes.byteLength ? undefined : offset
}
