import type { Disk, Extent, RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { concatDisks, type DiskPart } from '../blocks/concat-disk.ts'
import { DiskFormatError, refuse } from '../errors.ts'
import { ImageFile, type OpenDiskOptions } from '../image-file.ts'
import { Fields } from '../layouts/fields.ts'
import { printable } from '../layouts/printable.ts'
import { Problems } from '../layouts/problems.ts'
import { openVmdkPart } from './open-vmdk.ts'
import {
  longestDescriptor,
  parseVmdkDescriptor,
  type VmdkDescriptor,
  type VmdkExtent,
  vmdkInSeveral,
} from './vmdk-descriptor.ts'

const sector = 512
const mostSectors = BigInt(Number.MAX_SAFE_INTEGER) / 512n

/** The disk of a VMDK in several files. */
export interface VmdkSetDisk extends Disk {
  readonly descriptor: VmdkDescriptor
}

/**
 * Opens a disk in several files: monolithicFlat, twoGbMaxExtentFlat and twoGbMaxExtentSparse. Nothing is opened by its
 * name: the descriptor's names are looked up among the files that are given.
 *
 * @param files the other files by their names, as the descriptor has them; more of them do no harm
 * @throws {DiskFormatError} where a file is missing or too short, is there twice, or breaks a rule of its format
 */
export async function openVmdkSet(
  descriptor: RandomAccessReader,
  files: ReadonlyMap<string, RandomAccessReader>,
  options: OpenDiskOptions = {},
): Promise<VmdkSetDisk> {
  options.signal?.throwIfAborted()
  const parsed = await readDescriptor(new ImageFile(descriptor, 'vmdk'))
  const type = (parsed.createType ?? '').toLowerCase()
  const kind = type === 'twogbmaxextentsparse' ? 'SPARSE' : 'FLAT'
  if (parsed.extents.length < parsed.extentCount || (type === 'monolithicflat' && parsed.extentCount > 1)) {
    refuse('vmdk-extents', 'the descriptor has more extents than such a disk has', {
      found: `${parsed.extentCount}`,
      accepted: type === 'monolithicflat' ? 'one' : `at most ${parsed.extents.length}`,
    })
  }
  const taken = new Map<string, (readonly [start: number, end: number])[]>()
  const parts: DiskPart[] = []
  for (const extent of parsed.extents) {
    const isLast = extent === parsed.extents.at(-1)
    parts.push(await openExtent(extent, { kind, isLast }, files, taken, options))
  }
  return { descriptor: parsed, ...concatDisks(parts, options.signal) }
}

async function readDescriptor(file: ImageFile): Promise<VmdkDescriptor> {
  const fields = new Fields(await file.readUpTo(0, Math.min(file.sizeBytes, longestDescriptor)))
  const problems = new Problems('vmdk')
  const parsed = parseVmdkDescriptor(fields, 0, longestDescriptor, problems, vmdkInSeveral)
  if (problems.list[0] !== undefined) throw new DiskFormatError(problems.list[0])
  if (parsed.sectors < 1n || parsed.sectors > mostSectors) {
    refuse('vmdk-virtual-size', 'the extents together are no size that a disk can have', {
      found: `${parsed.sectors} sectors`,
      accepted: 'from 1 to 2^44',
    })
  }
  return parsed
}

async function openExtent(
  extent: VmdkExtent,
  { kind, isLast }: { readonly kind: 'FLAT' | 'SPARSE'; readonly isLast: boolean },
  files: ReadonlyMap<string, RandomAccessReader>,
  taken: Map<string, (readonly [start: number, end: number])[]>,
  options: OpenDiskOptions,
): Promise<DiskPart> {
  const { access, type, sectors, firstSector, fileName = '', offset } = extent
  const size = Number(sectors) * sector
  if (extent.oddity !== undefined) {
    refuse('vmdk-extents', 'an extent is written as readers disagree about', {
      found: extent.oddity,
      offset,
      accepted: 'capital letters and a place, after a comment or another extent',
    })
  }
  if (type === 'ZERO') return zeroPart(size)
  if (type !== kind || access === 'NOACCESS' || size === 0 || firstSector > mostSectors) {
    refuse('vmdk-extents', 'an extent is of another kind than the disk', {
      found: `${access} ${sectors} ${type}`,
      offset,
      accepted: `RW or RDONLY, ${kind} or ZERO`,
    })
  }
  const reader = files.get(fileName)
  if (reader === undefined) {
    return refuse('vmdk-extents', 'a file of the disk is not given', {
      found: printable(fileName),
      offset,
      accepted: 'all files that the descriptor names, together with it',
    })
  }
  const start = Number(firstSector) * sector
  const range = kind === 'FLAT' ? ([start, start + size] as const) : ([0, reader.size] as const)
  const before = taken.get(fileName) ?? []
  if (before.some(([from, end]) => range[0] < end && from < range[1])) {
    refuse('vmdk-block-used-twice', 'two extents of the disk lie in the same place', {
      found: printable(fileName),
      offset,
      accepted: 'each in a place that nothing else has',
    })
  }
  taken.set(fileName, [...before, range])
  if (kind === 'FLAT') return flatPart(new ImageFile(reader, 'vmdk'), start, size)
  const file = new ImageFile(reader, 'vmdk')
  const { map, sizeBytes } = await openVmdkPart(file)
  if (sizeBytes !== size) {
    refuse('vmdk-extents', 'a file has another size of disk than the descriptor says', {
      found: `${sizeBytes} bytes in ${printable(fileName)}`,
      offset,
      accepted: `${size} bytes`,
    })
  }
  if (!isLast && size % map.blockBytes > 0) {
    refuse('vmdk-extents', 'an extent that others follow ends within a grain, which readers go on with', {
      found: `${sectors} sectors in ${printable(fileName)}`,
      offset,
      accepted: `whole grains of ${map.blockBytes} bytes`,
    })
  }
  return createBlockDisk(file, map, options.signal)
}

function flatPart(file: ImageFile, start: number, size: number): DiskPart {
  file.requireInside(start, size, 'an extent')
  return {
    size,
    read: async (offset, length, into) => {
      const bytes = (into ?? new Uint8Array(length)).subarray(0, Math.max(0, Math.min(length, size - offset)))
      await file.fill(start + offset, bytes, 'an extent')
      return bytes
    },
    extents: () => oneExtent(size, 'data'),
  }
}

function zeroPart(size: number): DiskPart {
  return {
    size,
    read: (offset, length, into) =>
      Promise.resolve((into ?? new Uint8Array(length)).subarray(0, Math.min(length, size - offset)).fill(0)),
    extents: () => oneExtent(size, 'hole'),
  }
}

async function* oneExtent(length: number, kind: Extent['kind']): AsyncGenerator<Extent, void, void> {
  if (length > 0) yield await Promise.resolve({ offset: 0, length, kind })
}
