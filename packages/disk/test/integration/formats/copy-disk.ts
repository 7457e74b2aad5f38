import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import type { Disk, RandomAccessReader } from '@disk-image/core'
import { type ReadableFormat, openDisk } from '@disk-image/disk'

/** A file as readers take it; `largestRead` is the most that was ever asked for. */
export async function openReader(
  file: string,
): Promise<RandomAccessReader & AsyncDisposable & { readonly largestRead: number }> {
  const handle = await open(file, 'r')
  const { size } = await handle.stat()
  let largestRead = 0
  return {
    size,
    get largestRead() {
      return largestRead
    },
    async read(offset, length, into) {
      largestRead = Math.max(largestRead, length)
      const bytes = (into ?? new Uint8Array(length)).subarray(0, Math.max(0, Math.min(length, size - offset)))
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset)
      return bytes.subarray(0, bytesRead)
    },
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

/** Writes the disk of an image into a new file of holes, by our own reader. */
export async function readInto(format: ReadableFormat, image: string, target: string): Promise<number> {
  await using reader = await openReader(image)
  await using disk = await openDisk(reader, format)
  await copyInto(target, disk)
  assert(reader.largestRead <= 4 * 1024 ** 2)
  return disk.size
}

/** Writes a disk, in its order, into a new file of holes. */
export async function copyInto(target: string, disk: Disk): Promise<void> {
  await using handle = await open(target, 'w')
  let next = 0
  const inOrder = (offset: number, length: number): void => {
    if (offset !== next || length < 1) throw new Error(`${length} bytes at ${offset} come after ${next}`)
    next += length
  }
  await disk.copyTo({
    data: async (offset, bytes) => {
      inOrder(offset, bytes.length)
      await handle.write(bytes, 0, bytes.length, offset)
    },
    zero: inOrder,
  })
  assert.equal(next, disk.size)
  await handle.truncate(disk.size)
}
