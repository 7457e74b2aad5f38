import path from 'node:path'
import { formatBytes, ImageTooBigError } from '@disk-image/core'
import { freeSpace } from './free-space.ts'

/** What was being written when there was no more room. */
export interface SpaceNeed {
  readonly path: string
  readonly neededBytes?: number | undefined
  readonly imageId?: string | undefined
}

const codes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/**
 * The {@link ImageTooBigError} for an error that says there is no room, with the folder, what was needed and
 * what was free; undefined for any other error.
 */
export async function spaceError(error: unknown, need: SpaceNeed): Promise<ImageTooBigError | undefined> {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code === undefined || !codes.has(code)) return undefined
  const free = await freeSpaceOrUnknown(need.path)
  const needed = need.neededBytes === undefined ? '' : `, ${formatBytes(need.neededBytes)} needed`
  const left = free === undefined ? '' : `, ${formatBytes(free)} free`
  const why = code === 'EDQUOT' ? 'the quota is used up' : 'there is no space left'
  return new ImageTooBigError({
    imageId: need.imageId ?? 'internal image',
    reason: `${why} in ${path.dirname(need.path)} (writing ${need.path}${needed}${left})`,
    cause: error,
  })
}

async function freeSpaceOrUnknown(name: string): Promise<number | undefined> {
  try {
    return await freeSpace(name)
  } catch {
    return undefined
  }
}
