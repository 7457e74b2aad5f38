import {
  type CallOptions,
  type Disk,
  type DiskReceiver,
  type Extent,
  InvalidError,
  type RandomAccessReader,
} from '@disk-image/core'
import { readFullyFrom, splitAtZeros } from '@disk-image/io'
import type { FileRange } from '../blocks/block-map.ts'
import { type DiskPart, readExtents } from '../blocks/copy-extents.ts'
import { createDisk, type DiskSource } from '../blocks/create-disk.ts'
import { DiskChangedError } from '../errors.ts'
import type { OpenDiskOptions } from '../image-file.ts'
import { HoleMap } from './hole-map.ts'

/** Options of {@link openRaw}. */
export interface OpenRawOptions extends OpenDiskOptions {
  /**
   * Where nothing is stored, in order, as a filesystem tells it: those parts are never read. They must not become data
   * while the disk is open. Read once.
   *
   * @default none is known, and all of the disk is read to find its zeros
   */
  readonly holes?: Iterable<FileRange> | AsyncIterable<FileRange> | undefined
}

/** A disk that lies in its file as it is. */
export interface RawDisk extends Disk {
  /** The whole disk in order, zeros told apart from data by reading it, but for the holes that are known. */
  extents(options?: CallOptions): AsyncIterable<Extent>
  /** The same without reading: what is not known as a hole is data. */
  storedExtents(): Iterable<Extent>
}

/** Zeros that are told from data: qemu-img's own measure, so that any cluster of zeros is found. */
const leastZeroBytes = 4096

/**
 * Opens a raw file or device as a disk. The disk does not end its reader.
 *
 * @throws {InvalidError} for holes that are out of order or outside the disk
 */
export async function openRaw(reader: RandomAccessReader, options: OpenRawOptions = {}): Promise<RawDisk> {
  const { signal, holes = [] } = options
  signal?.throwIfAborted()
  const { size } = reader
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new InvalidError({ reason: `A disk can't have ${size} bytes.` })
  }
  const map = await HoleMap.read(holes, size)
  const storedExtents = (): Iterable<Extent> => map.extents()
  const stored = {
    size,
    read: (offset: number, length: number, into?: Uint8Array) => disk.read(offset, length, into),
    async *extents(): AsyncGenerator<Extent, void, void> {
      yield* storedExtents()
    },
  }
  const fill: DiskSource['fill'] = async (bytes, offset) => {
    const found = await readFullyFrom(reader, bytes, offset)
    if (found < bytes.length) throw new DiskChangedError(`it ends before its ${size} bytes`, offset + found)
  }
  /** Told apart in each MiB. */
  async function* extents(call: CallOptions): AsyncGenerator<Extent, void, void> {
    for await (const part of readExtents(stored, call)) yield* extentsOf(part)
  }
  const disk = createDisk({ size, fill, extents }, signal)

  async function copyTo(
    receiver: DiskReceiver,
    { signal: own, onProgress }: CallOptions = {},
  ): Promise<void> {
    for await (const part of readExtents(stored, { signal: own })) {
      for (const { offset, length, kind } of extentsOf(part)) {
        const start = offset - part.offset
        if (kind === 'data' && part.bytes !== undefined) {
          await receiver.data(offset, part.bytes.subarray(start, start + length))
        } else await receiver.zero(offset, length)
      }
      const completed = part.offset + part.length
      onProgress?.({ stage: 'convert', completed, total: size, unit: 'bytes' })
    }
  }

  return { ...disk, storedExtents, copyTo }
}

function* extentsOf({ offset, length, bytes }: DiskPart): Generator<Extent, void, void> {
  if (bytes === undefined) {
    yield { offset, length, kind: 'hole' }
    return
  }
  for (const { start, end, zero } of splitAtZeros(bytes, offset, leastZeroBytes, leastZeroBytes)) {
    yield { offset: offset + start, length: end - start, kind: zero ? 'zero' : 'data' }
  }
}
