import path from 'node:path'
import { ImageTooBigError } from '@disk-image/core'
import { type SpaceNeed, freeSpace, spaceError } from '@disk-image/host'
import { VhdError, XenserverArchiveError } from '@disk-image/vhd'
import { stat } from 'node:fs/promises'

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

/**
 * Runs what writes VHDs by itself, and names the error where there was no room: as `ImageTooBigError`, with
 * the folder and what was free.
 */
export async function withSpace<Result>(need: SpaceNeed, operation: () => Promise<Result>): Promise<Result> {
  try {
    return await operation()
  } catch (error) {
    const path = error instanceof VhdError ? (error.path ?? need.path) : need.path
    throw (await spaceError(systemErrorOf(error), { ...need, path })) ?? error
  }
}

/** The system's error behind a refusal, or the one that would have come. */
function systemErrorOf(error: unknown): unknown {
  if (error instanceof ImageTooBigError) return error.cause
  if (!(error instanceof VhdError || error instanceof XenserverArchiveError)) return error
  // What an archive may unpack to is what is free.
  if (error.rule !== 'no-space' && error.rule !== 'size-limit') return error.cause
  return Object.assign(new Error(error.message, { cause: error }), { code: 'ENOSPC' })
}
