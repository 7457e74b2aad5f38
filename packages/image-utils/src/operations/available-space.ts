import { stat } from 'node:fs/promises'
import path from 'node:path'
import { ImageTooBigError } from '@disk-image/core'
import { freeSpace } from '@disk-image/host'

/**
 * Refuses where a folder, or the folder of a file, has no room for so many bytes.
 *
 * @throws {ImageTooBigError}
 * @see cinder.image.image_utils.check_available_space
 */
export async function checkAvailableSpace(
  destination: string,
  imageSize: number,
  imageId: string,
): Promise<void> {
  const isFolder = await stat(destination).then(
    (found) => found.isDirectory(),
    () => false,
  )
  const folder = isFolder ? destination : path.dirname(destination)
  const free = await freeSpace(folder)
  if (free <= imageSize) {
    throw new ImageTooBigError({
      imageId,
      reason: `There is no space on ${folder} to convert image. Requested: ${imageSize}, available: ${free}.`,
    })
  }
}
