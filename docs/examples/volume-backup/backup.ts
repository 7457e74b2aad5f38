import path from 'node:path'
import type { ImageRecord, ImageService, ImageUtils } from '@disk-image/image-utils'

/** What every image of a backup is called, so that the backups of one volume can be told from others. */
const property = 'backup_of'

/** A folder of backups. */
export class VolumeBackup {
  readonly #imageUtils: ImageUtils
  readonly #imageService: ImageService
  readonly #generations: number

  /** @param generations how many backups of each volume are kept */
  constructor(imageUtils: ImageUtils, imageService: ImageService, generations: number) {
    this.#imageUtils = imageUtils
    this.#imageService = imageService
    this.#generations = generations
  }

  /** Backs a volume up, compressed, and then removes what is too old. A backup that failed leaves no image. */
  async backUp(volume: string, signal?: AbortSignal): Promise<string> {
    const image = await this.#imageService.create(
      {},
      {
        name: `${path.basename(volume)} ${new Date().toISOString()}`,
        disk_format: 'qcow2',
        container_format: 'bare',
        properties: { [property]: volume },
      },
      { signal },
    )
    try {
      await this.#imageUtils.volumeToImage({ image, volume, signal })
    } catch (error) {
      await this.#imageService.delete({}, image.id)
      throw error
    }
    for (const old of (await this.list(volume)).slice(this.#generations)) {
      await this.#imageService.delete({}, old.id)
    }
    return image.id
  }

  /** The backups of a volume, the newest first. */
  async list(volume: string): Promise<ImageRecord[]> {
    const images = await this.#imageService.detail({})
    return images
      .filter((image) => image.properties?.[property] === volume)
      .toSorted((a, b) => String(b.name).localeCompare(String(a.name)))
  }

  /** Writes a backup onto a volume, verified. */
  async restore(imageId: string, volume: string, signal?: AbortSignal): Promise<void> {
    await this.#imageUtils.imageToVolume({ imageId, volume, verify: 'strict', signal })
  }
}
