import { KiB, MiB, type Refusal } from '@disk-image/core'
import type { FileRange } from '../blocks/block-map.ts'
import { Fields } from '../layouts/fields.ts'
import { hex, printable } from '../layouts/printable.ts'
import { Problems } from '../layouts/problems.ts'
import { identityAt, type VhdxRegion } from './vhdx-head.ts'

/** Identities in the byte order of the file. */
export const fileParameters = '3767a1ca36fa434db3b633f0aa44e76b'
export const virtualDiskSize = '2442a52f1bcd7648b2115dbed83bf4b8'
export const logicalSectorSize = '1dbf41816fa90947ba47f233a8faab5f'
const parentLocator = '2d5fd3a80bb34d45abf7d3d84834ab0c'
export const page83 = 'ab12cabee6b2234593efc309e000c746'
export const physicalSectorSize = 'c748a3cd5d4471449cc9e9885251c556'
/** The items that every VHDX must have, and their lengths. */
const neededItems: ReadonlyMap<string, number> = new Map([
  [fileParameters, 8],
  [virtualDiskSize, 8],
  [logicalSectorSize, 4],
  [physicalSectorSize, 4],
  [page83, 16],
])
const tableBytes = 64 * KiB
const mostItems = 2047
const largestDisk = 64n * 1024n ** 4n
const nothing = new Fields(new Uint8Array(0))

/** Asks for ranges of a file, whose bytes come whole, shorter at its end, or not at all. */
export type Asking<Result> = Generator<FileRange, Result, Uint8Array | undefined>

/** What the metadata says about the disk. */
export interface VhdxMetadata {
  /** Undefined where an item is missing. */
  readonly sizeBytes: bigint | undefined
  readonly blockBytes: number
  readonly sectorBytes: number
  /** Whether these three are such as a disk can have. */
  readonly isSized: boolean
  /** What the locator of a parent says, printable; empty where only a mark says that there is one. */
  readonly backingFile: string | undefined
  readonly problems: readonly Refusal[]
}

interface Item {
  /** Of the entry that names it, in the region. */
  readonly entry: number
  readonly offset: number
  readonly length: number
}

type Items = ReadonlyMap<string, Item>
type Values = ReadonlyMap<string, Fields>

/** @see Microsoft, [MS-VHDX], 2.6 "Metadata Region" */
export function* parseVhdxMetadata(region: VhdxRegion): Asking<VhdxMetadata> {
  const problems = new Problems('vhdx')
  const found: { -readonly [Key in keyof VhdxMetadata]: VhdxMetadata[Key] } = {
    sizeBytes: undefined,
    blockBytes: 0,
    sectorBytes: 0,
    isSized: false,
    backingFile: undefined,
    problems: [],
  }
  if (region.offset > 1n << 52n) return found
  const base = Number(region.offset)
  const table = new Fields((yield { offset: base, length: tableBytes }) ?? new Uint8Array(0))
  const items = parseItems(table, region, problems)
  if (items !== undefined) {
    const values = yield* readValues(items, base)
    found.backingFile = parseParent(values, items, base, problems)
    if (hasNeeded(values, items, base, problems)) {
      const parameters = values.get(fileParameters) ?? nothing
      found.blockBytes = parameters.u32le(0)
      found.sizeBytes = (values.get(virtualDiskSize) ?? nothing).u64le(0)
      found.sectorBytes = (values.get(logicalSectorSize) ?? nothing).u32le(0)
      const placeOf = (identity: string): number => base + (items.get(identity)?.offset ?? 0)
      found.isSized = areValues(found, found.sizeBytes, placeOf, problems)
    }
  }
  found.problems = problems.list
  return found
}

/** The values of the items, which usually follow each other and then are read at once. */
function* readValues(items: Items, base: number): Asking<Values> {
  const values = new Map<string, Fields>()
  const wanted = [...items]
    .map(([identity, { offset, length }]) => {
      const most = identity === parentLocator ? tableBytes : 16
      return { identity, offset, end: offset + Math.min(length, most) }
    })
    .sort((a, b) => a.offset - b.offset)
  const first = wanted[0]?.offset ?? 0
  const end = Math.max(first, ...wanted.map((item) => item.end))
  const all = end - first > tableBytes ? undefined : yield { offset: base + first, length: end - first }
  for (const item of wanted) {
    const bytes =
      end - first > tableBytes
        ? yield { offset: base + item.offset, length: item.end - item.offset }
        : all?.subarray(item.offset - first, item.end - first)
    values.set(item.identity, new Fields(bytes ?? new Uint8Array(0)))
  }
  return values
}

function parseItems(table: Fields, region: VhdxRegion, problems: Problems): Items | undefined {
  const base = Number(region.offset)
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    problems.add('metadata', { reason, offset: base + at, found, accepted })
  const count = table.u16le(10)
  if (!table.has(0, 'metadata') || table.length < tableBytes || count > mostItems) {
    wrong('The metadata table is missing or damaged', 0, `${count} items`, `at most ${mostItems} items`)
    return undefined
  }
  const items = new Map<string, Item>()
  for (let index = 0; index < count; index += 1) {
    const entry = 32 + index * 32
    const identity = identityAt(table, entry)
    const item = { entry, offset: table.u32le(entry + 16), length: table.u32le(entry + 20) }
    const empty = item.length === 0 && item.offset === 0
    if (!empty && (item.offset < tableBytes || item.offset + item.length > region.length)) {
      wrong('A metadata item lies outside its region', entry + 16, hex(item.offset), 'within the region')
      return undefined
    }
    if (neededItems.has(identity) || identity === parentLocator) {
      if (items.has(identity)) wrong('A metadata item is there twice', entry, identity, 'once')
      else items.set(identity, item)
    } else if ((table.u32le(entry + 24) & 4) !== 0) {
      problems.add('features', {
        reason: 'The image needs a metadata item that is not known',
        offset: base + entry,
        found: identity,
        accepted: 'the items of VHDX version 1',
      })
    }
  }
  return items
}

function parseParent(values: Values, items: Items, base: number, problems: Problems): string | undefined {
  const locator = values.get(parentLocator)
  const flags = values.get(fileParameters)?.u32le(4) ?? 0
  if ((flags & 2) === 0 && locator === undefined) return undefined
  const item = items.get(locator === undefined ? fileParameters : parentLocator)
  const backingFile = locator === undefined ? '' : locatorText(locator)
  problems.add('backing-file', {
    reason: 'The image is a differencing disk, whose parent holds a part of the data',
    offset: base + (item?.offset ?? 0),
    found: backingFile || 'the mark of a parent',
    accepted: 'a fixed or dynamic disk',
  })
  return backingFile
}

/** Readers give up without them. */
function hasNeeded(values: Values, items: Items, base: number, problems: Problems): boolean {
  for (const [identity, length] of neededItems) {
    const item = items.get(identity)
    if (item !== undefined && item.length === length && values.get(identity)?.length === length) continue
    problems.add('metadata', {
      reason: 'An item that every VHDX must have is missing or has the wrong length',
      offset: item === undefined ? base : base + item.entry,
      found: item === undefined ? `no item ${identity}` : `${item.length} bytes`,
      accepted: `${length} bytes`,
    })
    return false
  }
  return true
}

function areValues(
  { sectorBytes, blockBytes }: Pick<VhdxMetadata, 'blockBytes' | 'sectorBytes'>,
  sizeBytes: bigint,
  placeOf: (identity: string) => number,
  problems: Problems,
): boolean {
  const isPower = (blockBytes & (blockBytes - 1)) === 0
  if (sectorBytes !== 512 && sectorBytes !== 4096) {
    problems.add('metadata', {
      reason: 'The logical sector size is not one that a disk has',
      offset: placeOf(logicalSectorSize),
      found: `${sectorBytes}`,
      accepted: '512 or 4096',
    })
  } else if (!isPower || blockBytes < MiB || blockBytes > 256 * MiB) {
    problems.add('metadata', {
      reason: 'The block size is outside the format',
      offset: placeOf(fileParameters),
      found: `${blockBytes} bytes`,
      accepted: 'a power of two from 1 to 256 MiB',
    })
  } else if (sizeBytes === 0n || sizeBytes > largestDisk || sizeBytes % BigInt(sectorBytes) !== 0n) {
    problems.add('virtual-size', {
      reason: 'The virtual size is not one that a VHDX can have',
      offset: placeOf(virtualDiskSize),
      found: `${sizeBytes} bytes`,
      accepted: `whole sectors, at most ${largestDisk} bytes`,
      reference: 'CVE-2013-2096',
    })
  } else return true
  return false
}

/** The values of a parent locator, which are UTF-16: enough of them to tell the file's name. */
function locatorText(locator: Fields): string {
  let text = ''
  for (let at = 20; at + 1 < locator.length && text.length < 400; at += 2) {
    const code = locator.u16le(at)
    if (code >= 0x20 && code < 0x7f) text += String.fromCharCode(code)
  }
  return printable(text)
}
