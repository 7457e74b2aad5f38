import { type ByteSink, formatBytes, ImageUnacceptableError } from '@disk-image/core'
import { GzipDecoder, GzipError, type GzipTrailer } from '@disk-image/vhd'

/** What a decompressed image may come to. */
export interface DecompressionBounds {
  readonly imageId: string
  /** Most bytes that may come out. */
  readonly maxBytes: number
}

/**
 * Decodes gzip on its way into another sink, and stops where more comes out than may.
 *
 * @see cinder.image.accelerators.gzip
 */
export class GunzipSink implements ByteSink, AsyncDisposable {
  readonly #decoder: GzipDecoder
  readonly #bounds: DecompressionBounds
  #out = 0

  constructor(target: ByteSink, bounds: DecompressionBounds) {
    this.#bounds = bounds
    this.#decoder = new GzipDecoder(async (bytes) => {
      this.#out += bytes.length
      if (this.#out > bounds.maxBytes) throw decompressedTooLarge(bounds)
      await target.write(bytes)
    })
  }

  async write(chunk: Uint8Array): Promise<void> {
    try {
      await this.#decoder.write(chunk)
    } catch (error) {
      throw this.#explain(error)
    }
  }

  /**
   * Ends the data.
   *
   * @returns what lay behind it and was left out, if anything did
   */
  end(): GzipTrailer | undefined {
    try {
      return this.#decoder.end()
    } catch (error) {
      throw this.#explain(error)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#decoder.destroy()
    return Promise.resolve()
  }

  #explain(error: unknown): unknown {
    if (!(error instanceof GzipError)) return error
    const { problem, offset, found, accepted } = error
    const { imageId } = this.#bounds
    if (problem === 'not-gzip') return this.#notGzip()
    const rule = problem === 'trailing' ? 'compressed-trailing' : 'compressed-container'
    const reason = `The compressed data is broken: ${error.message}`
    return new ImageUnacceptableError({ imageId, reason, rule, offset, found, accepted, cause: error })
  }

  #notGzip(): ImageUnacceptableError {
    return new ImageUnacceptableError({
      imageId: this.#bounds.imageId,
      reason: 'Unsupported compressed image format found. Only gzip is supported currently',
      rule: 'compressed-container',
      offset: 0,
      accepted: 'gzip data, which begins with the bytes 1f 8b',
    })
  }
}

/** The refusal of more than may come out. */
export function decompressedTooLarge({ imageId, maxBytes }: DecompressionBounds): ImageUnacceptableError {
  return new ImageUnacceptableError({
    imageId,
    reason: `Decompressed, the image is larger than the ${formatBytes(maxBytes)} it may have`,
    rule: 'decompressed-size',
    found: `more than ${formatBytes(maxBytes)}`,
    accepted: 'an image that fits, or a larger volume',
    reference: 'CVE-2013-4463',
  })
}
