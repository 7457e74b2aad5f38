import type { CallOptions, Disk, Extent, RandomAccessReader } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { createDisk, type DiskSource } from '../blocks/create-disk.ts'
import type { OpenDiskOptions } from '../image-file.ts'
import { type ChainDisk, type ChainReader, type ChainRules, chainOf } from './chain-disk.ts'
import type { VhdLayout } from './layout.ts'
import { type ByteSource, readBytes } from './read-layout.ts'
import { TableScan } from './table.ts'
import { VhdError } from '../errors.ts'

/** Bytes of the disk that are looked at together. */
const windowBytes: number = 2 * 1024 ** 2
/** Unwritten sectors between written ones that belong to one extent: reading them costs less than to leave them out. */
const gapBytes = 64 * 1024

/** The disk of a VHD. */
export interface VhdDisk extends Disk {
  readonly layout: VhdLayout
}

/**
 * Opens a fixed or dynamic VHD for reading anywhere.
 *
 * @throws {VhdError} with the rule that the image breaks, here and on every read
 */
export async function openVhd(reader: RandomAccessReader, options: OpenDiskOptions = {}): Promise<VhdDisk> {
  options.signal?.throwIfAborted()
  const disks = await chainOf([reader], {})
  const [{ layout, source } = {}] = disks
  if (layout === undefined || source === undefined) throw new RangeError('a VHD has a layout')
  await requireWhole(layout, source)
  return { layout, ...createChainDisk(disks, options.signal) }
}

/** Of a table, at once. */
const pieceBytes = 64 * 1024

/**
 * What a disk that is read alone must be beside: all of its last block, also behind the end of the disk, and so of what
 * its table has behind the entries of the disk. Other readers and the verdict on an image ask for it.
 *
 * @throws {VhdError}
 */
export async function requireWhole({ dynamic, fileBytes }: VhdLayout, source: ByteSource): Promise<void> {
  if (dynamic === undefined) return
  const { table, header, bitmapBytes } = dynamic
  const { tableOffset, maximumEntries: entries, blockSizeBytes: blockBytes } = header
  const scan = new TableScan()
  for (const [block, entry] of table.entries()) scan.addEntry(entry, tableOffset + block * 4)
  const end = tableOffset + entries * 4
  for (let at = tableOffset + table.length * 4; at < end; at += pieceBytes) {
    scan.add(await readBytes(source, at, Math.min(pieceBytes, end - at)), at)
  }
  const problem = scan.problem ?? scan.judgeEnd({ tableOffset, entries, blockBytes, bitmapBytes }, fileBytes)
  if (problem !== undefined) throw new VhdError(problem)
}

/**
 * Opens a chain of VHDs, leaf first, as the one disk that it shows. The base may be a raw disk that is named as such.
 *
 * @throws {InvalidError} where the list is empty
 * @throws {VhdError} with the rule that a disk or the chain breaks, here and on every read
 */
export async function openVhdChain(
  readers: readonly ChainReader[],
  options: OpenDiskOptions & ChainRules = {},
): Promise<Disk> {
  options.signal?.throwIfAborted()
  return createChainDisk(await chainOf(readers, options), options.signal)
}

/** Judged disks, leaf first, as the one disk that they show. */
export function createChainDisk(disks: readonly ChainDisk[], signal?: AbortSignal): Disk {
  const size = disks[0]?.sizeBytes ?? 0
  const scratch: Uint8Array[] = []
  const fill: DiskSource['fill'] = async (bytes, offset, isZero) => {
    const found = await resolveRange(disks, offset, offset + bytes.length)
    for (const { level, start, end } of found) {
      if (!isZero && level === undefined) bytes.fill(0, start - offset, end - offset)
    }
    await readExtents(disks, found, bytes, offset, scratch)
  }
  async function* extents({ signal: own }: CallOptions): AsyncGenerator<Extent, void, void> {
    for (let from = 0; from < size; from += windowBytes) {
      own?.throwIfAborted()
      const to = Math.min(from + windowBytes, size)
      const mayHaveData = disks.some((disk) => from < disk.sizeBytes && disk.mayHaveData(from, to))
      yield* kindsOf(mayHaveData ? await resolveRange(disks, from, to) : [], from, to)
    }
  }
  return createDisk({ size, fill, extents }, signal)
}

/** What a range reads as, in order and without gaps; short gaps count as data. */
function* kindsOf(found: readonly ChainExtent[], from: number, to: number): Generator<Extent, void, void> {
  let position = from
  let dataStart = from
  for (const { start, end, level } of found) {
    if (level === undefined) continue
    if (start - position > gapBytes || (position === from && start > from)) {
      if (position > dataStart) yield { offset: dataStart, length: position - dataStart, kind: 'data' }
      yield { offset: position, length: start - position, kind: 'hole' }
      dataStart = start
    }
    position = end
  }
  if (position > dataStart) yield { offset: dataStart, length: position - dataStart, kind: 'data' }
  if (to > position) yield { offset: position, length: to - position, kind: 'hole' }
}

/** Two extents with less between them are read in one go: cheaper than two reads. */
const readTogetherBytes = 128 * 1024

/** Where an extent of a chain comes from. A class for the reason in docs/decisions/0013-offsets-in-classes.md. */
export class ChainExtent {
  readonly start: number
  readonly end: number
  /** Index of the disk that has the data; `undefined` where no disk has. */
  readonly level: number | undefined
  /** Byte of that disk's file; 0 where there is none. */
  readonly fileOffset: number
  /** No disk has the extent, and none below could: it reads as zero whatever is below. */
  readonly ended: boolean

  constructor(start: number, end: number, level: number | undefined, fileOffset: number, ended: boolean) {
    this.start = start
    this.end = end
    this.level = level
    this.fileOffset = fileOffset
    this.ended = ended
  }
}

/**
 * Cuts a range into extents, in order and without gaps. A disk hides what is below it wherever a sector's bit
 * is set, and behind its own end, where it reads as zero.
 */
export async function resolveRange(
  disks: readonly ChainDisk[],
  start: number,
  end: number,
): Promise<ChainExtent[]> {
  const cutters = await Promise.all(disks.map((disk) => disk.load(start, end)))
  const extents: ChainExtent[] = []
  let open: (readonly [number, number])[] = [[start, end]]
  for (const [level, disk] of disks.entries()) {
    const passed: (readonly [number, number])[] = []
    for (const [from, to] of open) {
      const stop = Math.min(to, disk.sizeBytes)
      if (stop < to) extents.push(new ChainExtent(Math.max(from, stop), to, undefined, 0, true))
      if (from >= stop) continue
      cutters[level]?.(from, stop, (extentStart, extentEnd, fileOffset) => {
        if (fileOffset === undefined) passed.push([extentStart, extentEnd])
        else extents.push(new ChainExtent(extentStart, extentEnd, level, fileOffset, true))
      })
    }
    open = passed
    if (open.length === 0) break
  }
  for (const [from, to] of open) extents.push(new ChainExtent(from, to, undefined, 0, false))
  return extents.sort((a, b) => a.start - b.start)
}

/**
 * Reads the data of extents into a buffer that starts at byte `base` of the disk. Bytes of extents without data
 * are left as they are.
 *
 * @param scratch buffers that are used again from call to call
 */
export async function readExtents(
  disks: readonly ChainDisk[],
  extents: readonly ChainExtent[],
  buffer: Uint8Array,
  base: number,
  scratch: Uint8Array[],
): Promise<void> {
  for (const [level, disk] of disks.entries()) {
    const own = extents.filter((extent) => extent.level === level)
    for (let at = 0; at < own.length;) {
      const first = own[at] as ChainExtent
      let last = first
      let next = at + 1
      for (; next < own.length; next += 1) {
        const extent = own[next] as ChainExtent
        const apart = extent.start - last.end
        if (apart > readTogetherBytes || extent.fileOffset - first.fileOffset !== extent.start - first.start)
          break
        last = extent
      }
      await readTogether(disk, own.slice(at, next), buffer, base, scratch)
      at = next
    }
  }
}

/** Reads neighbours of one file in one go; what lies between them is another disk's. */
async function readTogether(
  { source }: ChainDisk,
  extents: readonly ChainExtent[],
  buffer: Uint8Array,
  base: number,
  scratch: Uint8Array[],
): Promise<void> {
  const first = extents[0] as ChainExtent
  const last = extents[extents.length - 1] as ChainExtent
  if (extents.length === 1) {
    await source.read(buffer.subarray(first.start - base, first.end - base), first.fileOffset)
    return
  }
  const length = last.end - first.start
  const known = scratch.pop()
  const whole = known !== undefined && known.length >= length ? known : allocateBuffer(buffer.length)
  await source.read(whole.subarray(0, length), first.fileOffset)
  for (const { start, end } of extents) {
    buffer.set(whole.subarray(start - first.start, end - first.start), start - base)
  }
  scratch.push(whole)
}
