import type { CallOptions } from '@disk-image/core'
import { allocateSharedBuffer, isZero, prepareAhead } from '@disk-image/io'
import { readExtents } from '../blocks/copy-extents.ts'
import type { StoredDisk } from '../raw/stored-disk.ts'
import type { DataMap } from './data-map.ts'
import { type DiskWindow, readDisk, windowBytes } from './disk-windows.ts'
import type { FilePart } from './image-of-parts.ts'

/** Windows that are read before their turn. */
const readAhead = 4

/** How an image has the blocks of a disk that hold data, one behind the other. */
export interface StoredBlocks {
  /** Of units of `blockBytes`. */
  readonly map: DataMap
  /** A power of two from 4 KiB. */
  readonly blockBytes: number
  /** What is in front of each block. @default nothing */
  readonly leadOf?: (block: number) => readonly FilePart[]
}

interface BlockWindow extends DiskWindow {
  /** The block that begins here. */
  readonly block: number | undefined
}

/** The blocks that hold data, in order and whole: behind the end of the disk they are zero. */
export async function* blockParts(
  disk: StoredDisk,
  { map, blockBytes, leadOf }: StoredBlocks,
  { signal, onProgress }: CallOptions,
): AsyncGenerator<FilePart, void, void> {
  const idle: Uint8Array[] = []
  const windows = windowsOf(map, leadOf === undefined ? undefined : blockBytes, blockBytes)
  const prepared = prepareAhead(windows, readAhead, async (window) => {
    const buffer = idle.pop() ?? allocateSharedBuffer(windowBytes)
    const stored = Math.min(window.length, disk.size - window.offset)
    const { length } =
      stored > 0 ? await readDisk(disk, { offset: window.offset, length: stored }, buffer) : { length: 0 }
    return { window, buffer, bytes: buffer.fill(0, length, window.length).subarray(0, window.length) }
  })
  for await (const { window, buffer, bytes } of prepared) {
    signal?.throwIfAborted()
    if (window.block !== undefined && leadOf !== undefined) yield* leadOf(window.block)
    yield isZero(bytes) ? bytes.length : bytes
    idle.push(buffer)
    const completed = Math.min(disk.size, window.offset + window.length)
    onProgress?.({ stage: 'convert', completed, total: disk.size, unit: 'bytes' })
  }
}

/** All of a disk, and zeros up to a length, where everything has its place. */
export async function* diskParts(
  disk: StoredDisk,
  lengthBytes: number,
  { signal, onProgress }: CallOptions,
): AsyncGenerator<FilePart, void, void> {
  for await (const { offset, length, bytes } of readExtents(disk, { signal }, allocateSharedBuffer)) {
    yield bytes === undefined || isZero(bytes) ? length : bytes
    onProgress?.({ stage: 'convert', completed: offset + length, total: disk.size, unit: 'bytes' })
  }
  yield lengthBytes - disk.size
}

/** @param cutBytes where a window ends whatever follows */
function* windowsOf(
  map: DataMap,
  cutBytes: number | undefined,
  blockBytes: number,
): Generator<BlockWindow, void, void> {
  for (const { first, count } of map.runs()) {
    const end = (first + count) * blockBytes
    for (let offset = first * blockBytes; offset < end;) {
      const cut = cutBytes === undefined ? end : (Math.floor(offset / cutBytes) + 1) * cutBytes
      const length = Math.min(windowBytes, end - offset, cut - offset)
      yield { offset, length, block: offset % blockBytes === 0 ? offset / blockBytes : undefined }
      offset += length
    }
  }
}

/**
 * A table of equal entries, made piece by piece: what a disk of many TiB has does not fit into memory.
 *
 * @param put writes an entry into zeroed memory; false where it is zero, and nothing was written
 */
export function* tableParts(
  entries: number,
  entryBytes: number,
  put: (view: DataView, at: number, entry: number) => boolean,
): Generator<FilePart, void, void> {
  const perPart = 65_536 / entryBytes
  for (let first = 0; first < entries; first += perPart) {
    const count = Math.min(perPart, entries - first)
    const view = new DataView(new ArrayBuffer(count * entryBytes))
    let isEmpty = true
    for (let index = 0; index < count; index += 1) {
      if (put(view, index * entryBytes, first + index)) isEmpty = false
    }
    yield isEmpty ? view.byteLength : new Uint8Array(view.buffer)
  }
}
