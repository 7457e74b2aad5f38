import { constants } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { ImageDownloadFailedError } from '@disk-image/core'
import type { CallOptions, ImageRecord, ImageService, RequestContext } from '@disk-image/core'
import { allocateBuffer, writeFully } from '@disk-image/io'

const chunkBytes = 1024 * 1024

/**
 * Downloads an image into a file, behind the bytes that an earlier download left there. Resolves when the hash over
 * all of it is right and the bytes are on the disk.
 *
 * @returns the bytes that were there already
 * @throws {ImageDownloadFailedError}
 */
export async function downloadPartial(
  file: string,
  source: {
    readonly imageService: ImageService
    readonly context: RequestContext
    readonly record: ImageRecord
  },
  call: CallOptions,
  check: () => Promise<void>,
): Promise<number> {
  const { imageService, context, record } = source
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const handle = await open(file, flags, 0o600)
  try {
    const { size } = await handle.stat()
    // More than the image has is no beginning of it.
    let there = size > (record.size ?? 0) ? 0 : size
    if (there < size) await handle.truncate(0)
    const download = async (): Promise<void> => {
      let offset = there
      const write = async (chunk: Uint8Array): Promise<void> => {
        await check()
        await writeFully(handle, chunk, offset)
        offset += chunk.length
      }
      const resumeFrom = { bytes: there, read: () => readHead(handle, there) }
      const options = { ...call, verify: 'strict' as const, ...(there === 0 ? {} : { resumeFrom }) }
      await imageService.download(context, record.id, { write }, options)
    }
    try {
      await download()
    } catch (error) {
      if (there === 0 || !isWrong(error)) throw error
      // What was left of it may be as long as it was, and yet not have been on the disk when the power went.
      await check()
      there = 0
      await handle.truncate(0)
      await download()
    }
    await handle.sync()
    return there
  } catch (error) {
    // A wrong hash: what is there is not a part of this image, and must not be continued.
    if (isWrong(error)) await rm(file, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

/** Whether the bytes are wrong, rather than not all there. */
function isWrong(error: unknown): boolean {
  return error instanceof ImageDownloadFailedError && /hash|checksum|size|bytes/i.test(error.reason)
}

async function* readHead(handle: FileHandle, bytes: number): AsyncIterable<Uint8Array> {
  const buffer = allocateBuffer(Math.min(chunkBytes, bytes))
  for (let offset = 0; offset < bytes;) {
    const wanted = Math.min(buffer.length, bytes - offset)
    const { bytesRead } = await handle.read(buffer, 0, wanted, offset)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
    offset += bytesRead
  }
}
