import type { Gunzip } from 'node:zlib'
import { type ByteSink, formatBytes, ImageUnacceptableError } from '@disk-image/core'

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
  readonly #gunzip: Gunzip
  readonly #bounds: DecompressionBounds
  readonly #pump: Promise<void>
  #failure: { readonly error: unknown } | undefined
  #first: Buffer | undefined = Buffer.alloc(0)
  #out = 0

  constructor(target: ByteSink, bounds: DecompressionBounds) {
    this.#bounds = bounds
    this.#gunzip = process.getBuiltinModule('node:zlib').createGunzip({ chunkSize: 1024 * 1024 })
    this.#pump = this.#drain(target)
    this.#pump.catch((error: unknown) => {
      this.#failure = { error }
      this.#gunzip.destroy()
    })
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#checkMagic(chunk)
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error | null): void => {
        if (this.#failure !== undefined) reject(this.#failure.error)
        else if (error) reject(this.#broken(error))
        else resolve()
      }
      // The stream's own failure may come without the callback ever being called.
      this.#pump.catch(() => settle())
      this.#gunzip.write(chunk, settle)
    })
  }

  /** Decodes what is left. Resolves when the target has taken everything. */
  async end(): Promise<void> {
    if (this.#first !== undefined) throw this.#notGzip()
    this.#gunzip.end()
    await this.#pump
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gunzip.destroy()
    await this.#pump.catch(() => undefined)
  }

  async #drain(target: ByteSink): Promise<void> {
    try {
      for await (const chunk of this.#gunzip) {
        this.#out += (chunk as Buffer).length
        if (this.#out > this.#bounds.maxBytes) throw this.#tooLarge()
        await target.write(chunk as Buffer)
      }
    } catch (error) {
      throw isZlibError(error) ? this.#broken(error) : error
    }
  }

  #checkMagic(chunk: Uint8Array): void {
    if (this.#first === undefined) return
    this.#first = Buffer.concat([this.#first, chunk.subarray(0, 2)])
    if (this.#first.length < 2) return
    if (this.#first[0] !== 0x1f || this.#first[1] !== 0x8b) throw this.#notGzip()
    this.#first = undefined
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

  #broken(cause: unknown): ImageUnacceptableError {
    return new ImageUnacceptableError({
      imageId: this.#bounds.imageId,
      reason: `The compressed data is broken: ${cause instanceof Error ? cause.message : String(cause)}`,
      rule: 'compressed-container',
      cause,
    })
  }

  #tooLarge(): ImageUnacceptableError {
    return new ImageUnacceptableError({
      imageId: this.#bounds.imageId,
      reason: `Decompressed, the image is larger than the ${formatBytes(this.#bounds.maxBytes)} it may have`,
      rule: 'decompressed-size',
      found: `more than ${formatBytes(this.#bounds.maxBytes)}`,
      accepted: 'an image that fits, or a larger volume',
      reference: 'CVE-2013-4463',
    })
  }
}

function isZlibError(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    /^(Z_|ERR_ZLIB|ERR_STREAM_PREMATURE)/.test(String(error.code))
  )
}
