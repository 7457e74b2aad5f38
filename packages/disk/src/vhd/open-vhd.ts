import type { CallOptions, Disk, Extent, RandomAccessReader } from '@disk-image/core'
import { createDisk, type DiskSource } from '../blocks/create-disk.ts'
import type { OpenDiskOptions } from '../open-disk-options.ts'
import { type ChainDisk, type ChainReader, type ChainRules, chainOf } from './chain-disk.ts'
import type { VhdLayout } from './layout.ts'
import { type ChainExtent, readExtents, resolveRange } from './resolve.ts'
import { judgeBlocksWhole } from './table.ts'
import { VhdError } from './vhd-error.ts'

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
  const layout = disks[0]?.layout
  if (layout === undefined) throw new RangeError('a VHD has a layout')
  requireWhole(layout)
  return { layout, ...createChainDisk(disks, options.signal) }
}

/** @throws {VhdError} where the file has not all of each block, as everybody asks for of a disk that is read alone */
export function requireWhole({ dynamic, fileBytes }: VhdLayout): void {
  const problem = dynamic === undefined ? undefined : judgeBlocksWhole(dynamic, fileBytes)
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
