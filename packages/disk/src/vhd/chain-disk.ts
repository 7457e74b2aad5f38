import { InvalidError, type RandomAccessReader } from '@disk-image/core'
import { type ByteSource, readBytes, sourceOf, readVhdLayout } from './read-layout.ts'
import { sectorBytes, type VhdType, zeroUuid } from './footer.ts'
import type { DynamicLayout, VhdLayout } from './layout.ts'
import { unallocated } from './table.ts'
import { VhdError } from '../errors.ts'

/** Bitmaps that are kept: who reads less than a block at once asks for the same one again and again. */
const keptBitmaps = 64

/** Cuts a range into extents, in order and without gaps. */
export type ExtentCutter = (start: number, end: number, visitor: ExtentVisitor) => void

/** One disk of a chain, open and judged. */
export interface ChainDisk {
  readonly source: ByteSource
  readonly type: VhdType | 'raw'
  readonly sizeBytes: number
  /** Absent where the disk is raw. */
  readonly layout: VhdLayout | undefined
  /** Reads the sector bitmaps of a range; the answer cuts any part of it that is inside the disk into extents. */
  load(start: number, end: number): Promise<ExtentCutter>
  /** Whether a block of the range is allocated, by the table alone. */
  mayHaveData(start: number, end: number): boolean
}

/** A raw disk that ends a chain. It is never guessed: who means raw says so. */
export interface RawReader {
  readonly source: RandomAccessReader
  readonly format: 'raw'
}

/** One disk of a chain, read by who opened it. */
export type ChainReader = RandomAccessReader | RawReader

/** How strictly a chain's members must belong together. */
export interface ChainRules {
  /**
   * Whether a child's note of its parent's uuid must be right. Without it the order of the list alone says
   * who belongs to whom. @default true
   */
  readonly checkParentIds?: boolean | undefined
  /**
   * Whether the last disk may be one whose copy of the footer differs from the footer at the end, as a coalesce
   * leaves it that was killed. @default false
   */
  readonly trustEndFooter?: boolean | undefined
}

const flat: ExtentCutter = (start, end, visitor) => visitor(start, end, start)

/** A raw disk, which is never guessed. */
export function rawDisk(source: ByteSource): ChainDisk {
  const common = { source, type: 'raw', sizeBytes: source.size, layout: undefined } as const
  return { ...common, load: () => Promise.resolve(flat), mayHaveData: () => true }
}

/** A disk over an open source whose metadata was read. */
export function diskOf(source: ByteSource, layout: VhdLayout): ChainDisk {
  const { dynamic, kind: type, sizeBytes } = layout
  const common = { source, type, sizeBytes, layout }
  if (dynamic === undefined) {
    return { ...common, load: () => Promise.resolve(flat), mayHaveData: () => true }
  }
  const { table, bitmapBytes } = dynamic
  const blockBytes = dynamic.header.blockSizeBytes
  const bitmapOf = createBitmapCache(source, dynamic)
  const lastBlock = (end: number): number => Math.floor((Math.min(end, sizeBytes) - 1) / blockBytes)
  return {
    ...common,
    async load(start, end) {
      const loaded = new Map<number, Uint8Array>()
      for (let block = Math.floor(start / blockBytes); block <= lastBlock(end); block += 1) {
        if (table[block] !== unallocated) loaded.set(block, await bitmapOf(block))
      }
      return (from, to, visitor) => {
        for (let at = from; at < to;) {
          const block = Math.floor(at / blockBytes)
          const stop = Math.min(to, (block + 1) * blockBytes)
          const bitmap = loaded.get(block)
          const dataOffset = (table[block] as number) * sectorBytes + bitmapBytes
          if (bitmap === undefined) visitor(at, stop, undefined)
          else cutExtents(bitmap, at, stop, block * blockBytes, dataOffset, visitor)
          at = stop
        }
      }
    },
    mayHaveData(start, end) {
      for (let block = Math.floor(start / blockBytes); block <= lastBlock(end); block += 1) {
        if (table[block] !== unallocated) return true
      }
      return false
    },
  }
}

function createBitmapCache(
  source: ByteSource,
  { table, bitmapBytes }: Pick<DynamicLayout, 'table' | 'bitmapBytes'>,
): (block: number) => Promise<Uint8Array> {
  const kept = new Map<number, Uint8Array>()
  return async (block) => {
    const known = kept.get(block)
    if (known !== undefined) return known
    const bytes = await readBytes(source, (table[block] as number) * sectorBytes, bitmapBytes)
    if (kept.size >= keptBitmaps) kept.delete(kept.keys().next().value as number)
    kept.set(block, bytes)
    return bytes
  }
}

/**
 * Judges the disks of a chain given as readers, leaf first.
 *
 * @throws {InvalidError} where the list is empty
 * @throws {VhdError} with the rule that is broken
 */
export async function chainOf(readers: readonly ChainReader[], rules: ChainRules): Promise<ChainDisk[]> {
  const disks: ChainDisk[] = []
  for (const [index, reader] of readers.entries()) {
    if ('format' in reader) disks.push(rawDisk(sourceOf(reader.source)))
    else {
      const source = sourceOf(reader)
      const trustsEnd = rules.trustEndFooter === true && index === readers.length - 1
      disks.push(diskOf(source, await readVhdLayout(source, trustsEnd)))
    }
  }
  judgeChain(disks, rules)
  return disks
}

/**
 * Judges that the disks of a chain, leaf first, belong together.
 *
 * @param complete whether the last one must be a disk without parent
 * @throws {InvalidError} where the list is empty
 * @throws {VhdError} with the rule that is broken
 */
export function judgeChain(disks: readonly ChainDisk[], rules: ChainRules, complete = true): void {
  if (disks.length === 0) throw new InvalidError({ reason: 'a chain needs at least one disk' })
  const seen = new Set<string>()
  for (const { source } of disks) {
    if (source.identity === undefined) continue
    if (seen.has(source.identity)) {
      const reason = 'the same file is in the chain twice'
      throw new VhdError({ path: source.path, rule: 'chain-loop', reason })
    }
    seen.add(source.identity)
  }
  for (const [index, disk] of disks.entries()) {
    const refuse = (rule: string, reason: string, offset?: number, found?: string): never => {
      throw new VhdError({ path: disk.source.path, rule, reason, offset, found })
    }
    const parent = disks[index + 1]
    if (parent === undefined) {
      if (complete && disk.type === 'differencing') {
        refuse('chain-incomplete', 'the last disk of the chain has a parent itself, which is not there', 60)
      }
      return
    }
    if (disk.type !== 'differencing') {
      const reason = 'it has no parent, but is not the last disk of the chain'
      refuse('not-differencing', reason, undefined, disk.type)
    }
    judgeParent(disk, parent, rules)
  }
}

/** Judges that a parent is the one that its child means. */
function judgeParent(child: ChainDisk, parent: ChainDisk, rules: ChainRules): void {
  const expected = child.layout?.dynamic?.header.parentUniqueId ?? zeroUuid
  const offset = (child.layout?.dynamic?.headerOffset ?? 0) + 40
  const refuse = (rule: string, reason: string, found: string): never => {
    const isChild = rule === 'parent-uuid'
    const { path } = isChild ? child.source : parent.source
    throw new VhdError({ path, rule, reason, found, offset: isChild ? offset : 68 })
  }
  if (parent.type === 'raw') {
    if (expected === zeroUuid || rules.checkParentIds === false) return
    refuse('parent-uuid', 'it was made on a VHD, not on a raw disk', expected)
  }
  const actual = parent.layout?.found.footer.uniqueId ?? zeroUuid
  if (actual === zeroUuid) {
    refuse('zero-uuid', 'a parent needs a uuid: without one it is taken for a raw disk', actual)
  }
  if (actual !== expected && rules.checkParentIds !== false) {
    refuse('parent-uuid', `it was made on another disk than ${actual}`, expected)
  }
}

/** Receives the extents of a range: with a file offset where this disk has the data, without where it has none. */
type ExtentVisitor = (start: number, end: number, fileOffset: number | undefined) => void

/** Whether the sector's bit is set; the highest bit of a byte is its first sector. */
export function hasSector(bitmap: Uint8Array, sector: number): boolean {
  return ((bitmap[sector >> 3] as number) & (0x80 >> (sector & 7))) !== 0
}

/** The first sector from `sector` on whose bit differs from `value`, at most `end`. */
function nextChange(bitmap: Uint8Array, sector: number, end: number, value: boolean): number {
  const whole = value ? 0xff : 0
  let at = sector
  while (at < end) {
    if ((at & 7) === 0 && at + 8 <= end && bitmap[at >> 3] === whole) at += 8
    else if (hasSector(bitmap, at) === value) at += 1
    else return at
  }
  return end
}

/**
 * Cuts a range of one block into extents of written and unwritten sectors.
 *
 * @param start byte of the disk, inside the block; so is `end`
 * @param blockStart byte of the disk at which the block starts
 * @param dataOffset byte of the file at which the block's data starts
 */
export function cutExtents(
  bitmap: Uint8Array,
  start: number,
  end: number,
  blockStart: number,
  dataOffset: number,
  visitor: ExtentVisitor,
): void {
  const last = Math.ceil((end - blockStart) / sectorBytes)
  let sector = Math.floor((start - blockStart) / sectorBytes)
  while (sector < last) {
    const value = hasSector(bitmap, sector)
    const next = nextChange(bitmap, sector, last, value)
    // A disk may end, and so may a range, inside a sector.
    const from = Math.max(start, blockStart + sector * sectorBytes)
    const to = Math.min(end, blockStart + next * sectorBytes)
    visitor(from, to, value ? dataOffset + (from - blockStart) : undefined)
    sector = next
  }
}

/** Sets the bits of the sectors that a range of the block touches. */
export function markSectors(bitmap: Uint8Array, start: number, end: number): void {
  const last = Math.ceil(end / sectorBytes)
  for (let sector = Math.floor(start / sectorBytes); sector < last;) {
    if ((sector & 7) === 0 && sector + 8 <= last) {
      bitmap[sector >> 3] = 0xff
      sector += 8
    } else {
      bitmap[sector >> 3] = (bitmap[sector >> 3] as number) | (0x80 >> (sector & 7))
      sector += 1
    }
  }
}

/** Whether all of the first `sectors` bits are set. */
export function isFull(bitmap: Uint8Array, sectors: number): boolean {
  return nextChange(bitmap, 0, sectors, true) === sectors
}
