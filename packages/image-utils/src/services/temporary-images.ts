import type { CallOptions, ImageService, RequestContext, TemporaryPath } from '@disk-image/core'
import { unlessAborted } from '@disk-image/io'

/** Downloads an image into a new temporary file. */
export type FetchTemporary = (
  imageService: ImageService,
  context: RequestContext,
  imageId: string,
  options: CallOptions & { readonly suffix: string },
) => Promise<TemporaryPath>

interface Entry {
  readonly file: Promise<TemporaryPath>
  readonly abort: AbortController
  path: string | undefined
  users: number
}

/** Keywords of {@link TemporaryImages.fetch}. */
export interface TemporaryImageOptions extends CallOptions {
  readonly suffix?: string | undefined
}

/**
 * Images that are downloaded once and used several times, per image service and user.
 *
 * Every user of an image counts: the download is shared while it runs, and the file stays until the last one
 * is done with it, whatever became of the others.
 *
 * @see cinder.image.image_utils.TemporaryImages
 */
export class TemporaryImages {
  readonly #entries = new Map<string, Entry>()
  readonly #fetch: FetchTemporary

  constructor(fetch: FetchTemporary) {
    this.#fetch = fetch
  }

  /** The path that `fetch` holds for this user, or undefined. */
  get(context: RequestContext, imageId: string): string | undefined {
    return this.#entries.get(key(context, imageId))?.path
  }

  /** Downloads and verifies an image, or joins who does so already. Dispose the handle to let go of it. */
  async fetch(
    imageService: ImageService,
    context: RequestContext,
    imageId: string,
    options: TemporaryImageOptions = {},
  ): Promise<TemporaryPath> {
    options.signal?.throwIfAborted()
    const name = key(context, imageId)
    const entry = this.#entries.get(name) ?? this.#begin(name, imageService, context, imageId, options)
    entry.users += 1
    let released = false
    const release = async (): Promise<void> => {
      if (released) return
      released = true
      await this.#release(name, entry)
    }
    try {
      const { path } = await unlessAborted(entry.file, options.signal)
      return { path, [Symbol.asyncDispose]: release }
    } catch (error) {
      await release()
      throw error
    }
  }

  #begin(
    name: string,
    imageService: ImageService,
    context: RequestContext,
    imageId: string,
    options: TemporaryImageOptions,
  ): Entry {
    const abort = new AbortController()
    const file = this.#fetch(imageService, context, imageId, {
      suffix: options.suffix ?? '',
      onProgress: options.onProgress,
      // Not the first user's signal: others may have joined. The last one to leave ends it.
      signal: abort.signal,
    })
    const entry: Entry = { file, abort, path: undefined, users: 0 }
    this.#entries.set(name, entry)
    file.then(
      ({ path }) => {
        entry.path = path
      },
      () => this.#forget(name, entry),
    )
    return entry
  }

  async #release(name: string, entry: Entry): Promise<void> {
    entry.users -= 1
    if (entry.users > 0) return
    this.#forget(name, entry)
    entry.abort.abort(new Error('Nobody waits for the image any more'))
    const file = await entry.file.catch(() => undefined)
    await file?.[Symbol.asyncDispose]()
  }

  #forget(name: string, entry: Entry): void {
    if (this.#entries.get(name) === entry) this.#entries.delete(name)
  }
}

/** One set of temporary images for every image service, as the original keeps them. */
export class TemporaryImagesByService {
  readonly #byService = new WeakMap<ImageService, TemporaryImages>()
  readonly #fetch: FetchTemporary

  constructor(fetch: FetchTemporary) {
    this.#fetch = fetch
  }

  forImageService(imageService: ImageService): TemporaryImages {
    let images = this.#byService.get(imageService)
    if (images === undefined) {
      images = new TemporaryImages(this.#fetch)
      this.#byService.set(imageService, images)
    }
    return images
  }
}

function key(context: RequestContext, imageId: string): string {
  return JSON.stringify([context.userId ?? null, imageId])
}
