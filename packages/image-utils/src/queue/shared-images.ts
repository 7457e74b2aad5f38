import type { ImageService } from '@disk-image/core'
import type { ImageUtils } from '../image-utils.ts'
import type { ImageToVolumeRequest } from '../image-to-volume/request.ts'
import { SharedImage } from './shared-image.ts'
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
