import type { FileHandle } from 'node:fs/promises'
import { allocateBuffer, type UploadSource } from '@disk-image/core'
import { UsageError } from '../usage-error.ts'

const chunkBytes = 1024 * 1024

/**
 * An open file as what is uploaded. It can be read again from its start, and ends where it ended when it was
 * opened: what is appended meanwhile is not part of it.
 *
 * @throws {UsageError} where it is no regular file
 */
export async function openFileSource(handle: FileHandle, path: string): Promise<UploadSource> {
  const found = await handle.stat()
  if (!found.isFile()) {
    throw new UsageError(`${path} is no regular file; a block device goes with: disk-image upload.`)
  }
  return {
    size: found.size,
    async *open() {
      let offset = 0
      while (offset < found.size) {
        const chunk = allocateBuffer(Math.min(chunkBytes, found.size - offset))
        const { bytesRead } = await handle.read(chunk, 0, chunk.length, offset)
        if (bytesRead === 0) return
        offset += bytesRead
        yield chunk.subarray(0, bytesRead)
      }
    },
  }
}
