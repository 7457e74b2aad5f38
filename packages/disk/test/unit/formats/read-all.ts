import type { Disk, RandomAccessReader } from '@disk-image/core'
import { DiskFormatError, openDisk, type ReadableFormat } from '@disk-image/disk'

/** A whole file in memory. */
export function readerOf(bytes: Uint8Array): RandomAccessReader {
  const read = (offset: number, length: number): Promise<Uint8Array> =>
    Promise.resolve(new Uint8Array(bytes.subarray(offset, offset + length)))
  return { size: bytes.length, read }
}

/** The bytes of a small disk, put together from both ways to read it. */
export async function readAll(disk: Disk): Promise<Buffer> {
  const bytes = Buffer.alloc(disk.size)
  let next = 0
  await disk.copyTo({
    data: (offset, data) => {
      if (offset !== next) throw new Error('not in order')
      bytes.set(data, offset)
      next += data.length
    },
    zero: (offset, length) => {
      if (offset !== next) throw new Error('not in order')
      next += length
    },
  })
  if (next !== disk.size) throw new Error('not whole')
  if (!bytes.equals(await disk.read(0, disk.size))) throw new Error('stream and random access differ')
  return bytes
}

/** The rule that refuses an image; rejects where none does. */
export async function ruleOf(format: ReadableFormat, image: Uint8Array): Promise<string> {
  try {
    await readAll(await openDisk(readerOf(image), format))
  } catch (error) {
    if (error instanceof DiskFormatError) return error.rule
    throw error
  }
  throw new Error('it is read')
}
