import { open } from 'node:fs/promises'
import { allocateBuffer, type RandomAccessReader } from '@disk-image/core'
import { blockDeviceSize } from '@disk-image/host'

/** A file or block device that can be read anywhere. Close it. */
export interface FileReader extends RandomAccessReader {
  close(): Promise<void>
}

/** Opens a file or block device for reading. */
export async function openFileReader(path: string): Promise<FileReader> {
  const handle = await open(path, 'r')
  try {
    const found = await handle.stat()
    const size = found.isBlockDevice() ? await blockDeviceSize(path) : found.size
    return {
      size,
      read: async (offset, length, into) => {
        const wanted = Math.max(0, Math.min(length, size - offset))
        const lent = into !== undefined && into.length >= wanted
        const bytes = lent ? into.subarray(0, wanted) : allocateBuffer(wanted)
        let filled = 0
        while (filled < bytes.length) {
          const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, offset + filled)
          if (bytesRead === 0) break
          filled += bytesRead
        }
        return bytes.subarray(0, filled)
      },
      close: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Opens, uses, closes. */
export async function withFileReader<Result>(
  path: string,
  use: (reader: FileReader) => Promise<Result>,
): Promise<Result> {
  const reader = await openFileReader(path)
  try {
    return await use(reader)
  } finally {
    await reader.close()
  }
}
