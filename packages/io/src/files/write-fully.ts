import type { FileHandle } from 'node:fs/promises'

/**
 * Writes all of the bytes, however the kernel splits them.
 *
 * @throws an error with the code `ENOSPC` where nothing more can be written
 */
export async function writeFully(
  handle: Pick<FileHandle, 'write'>,
  bytes: Uint8Array,
  offset: number,
): Promise<void> {
  let done = 0
  while (done < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, offset + done)
    // Trying again would never end.
    if (bytesWritten === 0) throw Object.assign(new Error('Nothing could be written'), { code: 'ENOSPC' })
    done += bytesWritten
  }
}
