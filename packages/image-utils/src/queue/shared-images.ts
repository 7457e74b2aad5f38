import {
  type ImageService,
  type Checksum,
  type DownloadReport,
  ImageError,
  type Progress,
  type RequestContext,
  type TemporaryPath,
  type VerifyPolicy,
} from '@disk-image/core'
import { unlessAborted } from '@disk-image/io'
import type { ImageUtils } from '../image-utils.ts'
import type { ImageToVolumeRequest } from '../image-to-volume/request.ts'
import type { Transfer } from './transfer.ts'

/** Which transfers of a queue want the same image, downloaded in the same way, for the same user. */
export class SharedImages {
  readonly #temporaryImages: ImageUtils['TemporaryImages']
  readonly #images = new Map<string, SharedImage>()
  readonly #byTransfer = new Map<Transfer, { readonly name: string; readonly image: SharedImage }>()
  readonly #services = new WeakMap<ImageService, number>()
  readonly #leaving = new Set<Promise<void>>()
  #serviceCount = 0

  constructor(temporaryImages: ImageUtils['TemporaryImages']) {
    this.#temporaryImages = temporaryImages
  }

  join(transfer: Transfer): void {
    const { imageService, context = {}, imageId, ...manners } = transfer.request
    const { verify, checksums, connections, preferStores } = manners
    if (imageService === undefined || imageId === undefined || transfer.request.source !== undefined) return
    const name = this.#nameOf(transfer.request, imageService)
    let image = this.#images.get(name)
    if (image === undefined) {
      const wish = { imageService, context, imageId, verify, checksums, connections, preferStores }
      image = new SharedImage(wish, this.#temporaryImages)
      this.#images.set(name, image)
    }
    image.members.add(transfer)
    this.#byTransfer.set(transfer, { name, image })
  }

  of(transfer: Transfer): SharedImage | undefined {
    return this.#byTransfer.get(transfer)?.image
  }

  /** A transfer is over, or goes its own way. The last one to leave lets go of the image. */
  leave(transfer: Transfer): void {
    const membership = this.#byTransfer.get(transfer)
    if (membership === undefined) return
    const { name, image } = membership
    this.#byTransfer.delete(transfer)
    image.members.delete(transfer)
    if (image.members.size > 0) return
    if (this.#images.get(name) === image) this.#images.delete(name)
    // A file that can't be removed has no user any more whom it could be told; `clean` finds it.
    const leaving = image.letGo().catch(() => undefined)
    this.#leaving.add(leaving)
    void leaving.finally(() => this.#leaving.delete(leaving))
  }

  /** Resolves when everything that was let go of is removed. */
  async settled(): Promise<void> {
    await Promise.all(this.#leaving)
  }

  #nameOf(request: ImageToVolumeRequest, imageService: ImageService): string {
    let number = this.#services.get(imageService)
    if (number === undefined) {
      number = this.#serviceCount += 1
      this.#services.set(imageService, number)
    }
    // A token may not see what another one sees: contexts are compared whole.
    const context = Object.entries(request.context ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))
    const { imageId, verify, checksums, connections, preferStores } = request
    return JSON.stringify([number, context, imageId, verify, checksums, connections, preferStores])
  }
}

/** What all who share a download must want alike. */
interface SharedImageWish {
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
