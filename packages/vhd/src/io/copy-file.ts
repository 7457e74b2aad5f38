import { constants } from 'node:fs'
import { copyFile as copyNatively } from 'node:fs/promises'
import { ImageError } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import type { ByteSource } from './byte-source.ts'
import { createTarget } from './file-target.ts'
import { isZero } from './zeroes.ts'

/** Copies an open file to a new one: by reference where the file system can, else with holes for zeros. */
export async function copyFile(source: ByteSource, path: string, signal?: AbortSignal): Promise<void> {
  if (source.heldPath !== undefined && (await cloneFile(source.heldPath, path))) return
  const target = await createTarget(path)
  try {
    const buffer = allocateBuffer(1024 ** 2)
    for (let offset = 0; offset < source.size; offset += buffer.length) {
      signal?.throwIfAborted()
      const part = buffer.subarray(0, Math.min(buffer.length, source.size - offset))
      await source.read(part, offset)
      if (!isZero(part)) await target.write(part, offset)
    }
    await target.truncate(source.size)
    await target.sync()
  } finally {
    await target.close()
  }
}

async function cloneFile(source: string, path: string): Promise<boolean> {
  try {
    await copyNatively(source, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch (error) {
    if (ImageError.is(error) || (error as NodeJS.ErrnoException).code === 'EEXIST') throw error
    return false
  }
}
