import {
  type Checksum,
  type DownloadReport,
  ImageError,
  type ImageService,
  type Progress,
  type RequestContext,
  type TemporaryPath,
  type VerifyPolicy,
} from '@disk-image/core'
import { unlessAborted } from '@disk-image/io'
import type { ImageUtils } from '../image-utils.ts'
import type { Transfer } from './transfer.ts'

/** What all who share a download must want alike. */
export interface SharedImageWish {
  readonly imageService: ImageService
  readonly context: RequestContext
  readonly imageId: string
  readonly verify: VerifyPolicy | undefined
  readonly checksums: readonly Checksum[] | undefined
  readonly connections: number | undefined
  readonly preferStores: readonly string[] | undefined
}

/**
 * One image that several transfers want: downloaded once, into a temporary file that stays until the last of
 * them is over.
 */
export class SharedImage {
  /** The image service for those who share: what `TemporaryImages` holds is held for this object. */
  readonly imageService: ImageService
  /** Transfers that want the image and are not over. */
  readonly members: Set<Transfer> = new Set()
  readonly #wish: SharedImageWish
  readonly #temporaryImages: ImageUtils['TemporaryImages']
  readonly #abort = new AbortController()
  readonly #listeners = new Set<(progress: Progress) => void>()
  #file: Promise<TemporaryPath> | undefined
  #report: DownloadReport | undefined
  #unclaimedBytes = 0
  #reserved = false
  #refusal: { readonly error: unknown } | undefined
  #kept: { release(): void } | undefined

  constructor(wish: SharedImageWish, temporaryImages: ImageUtils['TemporaryImages']) {
    this.#wish = wish
    this.#temporaryImages = temporaryImages
    this.imageService = this.#listeningService()
  }

  /** Whether the download has begun. */
  get begun(): boolean {
    return this.#file !== undefined
  }

  /** Its hash and resumes, once it is there. */
  get report(): DownloadReport | undefined {
    return this.#report
  }

  /** Why the image can't be had by anybody, where another try would end the same way. */
  get refusal(): { readonly error: unknown } | undefined {
    return this.#refusal
  }

  /** Whether the caller shall get room for the file: nobody has it, or is about to. */
  reserve(): boolean {
    if (this.#reserved) return false
    this.#reserved = true
    return true
  }

  /** Whether there is room for the file. */
  get reserved(): boolean {
    return this.#reserved
  }

  /** Who was about to get room has left. */
  unreserve(): void {
    this.#reserved = false
  }

  /** Bytes in a budget that are given back when the image is let go of. */
  keep(bytes: { release(): void }): void {
    this.#kept = bytes
  }

  /** Waits for the one download, and begins it where nobody has. A member that leaves doesn't end it. */
  async receive(signal: AbortSignal, onProgress: ((progress: Progress) => void) | undefined): Promise<void> {
    const { context, imageId } = this.#wish
    this.#file ??= this.#temporaryImages.fetch(this.imageService, context, imageId, {
      signal: this.#abort.signal,
      onProgress: (progress) => {
        for (const listener of this.#listeners) listener(progress)
      },
    })
    const file = this.#file
    const listener = (progress: Progress): void => onProgress?.(progress)
    this.#listeners.add(listener)
    try {
      await unlessAborted(file, signal)
    } catch (error) {
      // The next one tries again, unless the image itself is at fault.
      if (!signal.aborted) this.#fail(file, error)
      throw error
    } finally {
      this.#listeners.delete(listener)
    }
  }

  /** The bytes of the download, for the first who asks: together they were downloaded once. */
  claimBytes(): number {
    const bytes = this.#unclaimedBytes
    this.#unclaimedBytes = 0
    return bytes
  }

  /** Removes the file. Called when the last member is over. */
  async letGo(): Promise<void> {
    this.#abort.abort(new Error('Nobody waits for the image any more'))
    const file = await this.#file?.catch(() => undefined)
    try {
      await file?.[Symbol.asyncDispose]()
    } finally {
      this.#kept?.release()
      this.#kept = undefined
    }
  }

  #fail(file: Promise<TemporaryPath>, error: unknown): void {
    if (this.#file === file) this.#file = undefined
    if (ImageError.is(error) && error.kind !== 'failed') this.#refusal = { error }
  }

  /** The service, with this image's settings for downloads, and an ear for how they ended. */
  #listeningService(): ImageService {
    const { imageService: service, verify, checksums, connections, preferStores } = this.#wish
    const download: ImageService['download'] = async (context, imageId, sink, options) => {
      const report = await service.download(context, imageId, sink, {
        ...options,
        verify,
        checksums,
        connections,
        preferStores,
      })
      this.#report = report
      this.#unclaimedBytes = report.bytes
      return report
    }
    return new Proxy(service, {
      get: (target, name) => {
        if (name === 'download') return download
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  }
}
