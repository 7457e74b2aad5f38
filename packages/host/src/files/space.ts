import { statfs } from 'node:fs/promises'
import path from 'node:path'
import { formatBytes, ImageTooBigError, ProcessExecutionError } from '@disk-image/core'
import { blockDeviceSize, isBlockDevice } from './block-device.ts'

/** What was being written when there was no more room. */
export interface SpaceNeed {
  readonly path: string
  readonly neededBytes?: number | undefined
  readonly imageId?: string | undefined
}

const codes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** What a tool's message says, in the C locale that the runner gives it. */
const messages = [
  [/No space left on device/i, 'ENOSPC'],
  [/Disk quota exceeded/i, 'EDQUOT'],
  [/File too large/i, 'EFBIG'],
  [/Cannot grow device files/i, 'ENOSPC'],
] as const
const reasons: Readonly<Record<string, string>> = {
  EDQUOT: 'the quota is used up',
  EFBIG: 'the file system takes no file of that size',
}

function spaceCode(error: unknown): string | undefined {
  if (error instanceof ProcessExecutionError) return messages.find(([text]) => text.test(error.stderr))?.[1]
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code !== undefined && codes.has(code) ? code : undefined
}

/**
 * The {@link ImageTooBigError} for an error that says there is no room, the system's or a tool's, with the
 * folder, what was needed and what was free, or with the device and its size; undefined for any other error.
 */
export async function spaceError(error: unknown, need: SpaceNeed): Promise<ImageTooBigError | undefined> {
  const code = spaceCode(error)
  if (code === undefined) return undefined
  const imageId = need.imageId ?? 'internal image'
  const needed = need.neededBytes === undefined ? '' : `, ${formatBytes(need.neededBytes)} needed`
  const deviceBytes = await deviceSizeOrUnknown(need.path)
  if (deviceBytes !== undefined) {
    const reason = `it does not fit on ${need.path}, which has ${formatBytes(deviceBytes)}${needed}`
    return new ImageTooBigError({ imageId, reason, cause: error })
  }
  const free = await freeSpaceOrUnknown(need.path)
  const left = free === undefined ? '' : `, ${formatBytes(free)} free`
  const why = reasons[code] ?? 'there is no space left'
  const reason = `${why} in ${path.dirname(need.path)} (writing ${need.path}${needed}${left})`
  return new ImageTooBigError({ imageId, reason, cause: error })
}

async function deviceSizeOrUnknown(name: string): Promise<number | undefined> {
  try {
    return (await isBlockDevice(name)) ? await blockDeviceSize(name) : undefined
  } catch {
    return undefined
  }
}

async function freeSpaceOrUnknown(name: string): Promise<number | undefined> {
  try {
    return await freeSpace(name)
  } catch {
    return undefined
  }
}

/**
 * Bytes that this user may still write on the file system of a path. The path itself need not exist: then
 * its nearest folder that does counts.
 */
export async function freeSpace(name: string): Promise<number> {
  let folder = path.resolve(name)
  for (;;) {
    try {
      const { bavail, bsize } = await statfs(folder)
      return bavail * bsize
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || folder === path.dirname(folder)) throw error
      folder = path.dirname(folder)
    }
  }
}
