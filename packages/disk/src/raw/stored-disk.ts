import { type CallOptions, type Disk, type Extent, KiB, type RandomAccessReader } from '@disk-image/core'
import { allocateSharedBuffer } from '@disk-image/io'
import type { RawDisk } from './open-raw.ts'

/** What is read of a disk, and where. */
export interface StoredDisk extends RandomAccessReader {
  extents(options?: CallOptions): AsyncIterable<Extent>
}

/** A disk whose extents are told without reading it: whoever looks at the bytes anyway finds their zeros then. */
export function storedDisk(disk: Disk): StoredDisk {
  if (!('storedExtents' in disk)) return disk
  const raw = disk as RawDisk
  return {
    size: disk.size,
    read: (offset, length, into) => disk.read(offset, length, into),
    async *extents() {
      yield* raw.storedExtents()
    },
  }
}

const zeros = allocateSharedBuffer(256 * KiB)

/** So many zeros, in chunks that nobody may write to. */
export function* zeroChunks(length: number): Generator<Uint8Array, void, void> {
  for (let left = length; left > 0; left -= zeros.length) {
    yield left >= zeros.length ? zeros : zeros.subarray(0, left)
  }
}
