import { Fields, hex, printable } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { read, type Steps } from '../engine/steps.ts'
import { identityAt, type VhdxRegion } from './vhdx-regions.ts'

const fileParameters = '3767a1ca36fa434db3b633f0aa44e76b'
const virtualDiskSize = '2442a52f1bcd7648b2115dbed83bf4b8'
const logicalSectorSize = '1dbf41816fa90947ba47f233a8faab5f'
const parentLocator = '2d5fd3a80bb34d45abf7d3d84834ab0c'
const page83 = 'ab12cabee6b2234593efc309e000c746'
const physicalSectorSize = 'c748a3cd5d4471449cc9e9885251c556'
const tableBytes = 65536
const mostItems = 2047
const largestDisk = 64n * 1024n ** 4n

/** What the metadata says about the disk. */
export interface VhdxDisk {
  readonly blockBytes: number
  readonly sectorBytes: number
  readonly sizeBytes: bigint
}

interface Item {
  readonly entry: number
  readonly offset: number
  readonly length: number
}

/** @see Microsoft, [MS-VHDX], 2.6 "Metadata Region" */
export function* readVhdxMetadata(region: VhdxRegion, report: Report): Steps<VhdxDisk | undefined> {
  if (region.offset > 1n << 52n) return undefined
  const base = Number(region.offset)
  const items = readTable(new Fields((yield* read(base, tableBytes)) ?? new Uint8Array(0)), region, report)
  if (items === undefined) return undefined
  const values = yield* readValues(items, base)
  checkParent(values, items, base, report)
  const sizes: Readonly<Record<string, number>> = {
    [fileParameters]: 8,
    [virtualDiskSize]: 8,
    [logicalSectorSize]: 4,
    [physicalSectorSize]: 4,
    [page83]: 16,
  }
  for (const [identity, length] of Object.entries(sizes)) {
    const item = items.get(identity)
    if (item === undefined || item.length !== length || values.get(identity)?.length !== length) {
      report.fail('metadata', {
        reason: 'An item that every VHDX must have is missing or has the wrong length',
        offset: item === undefined ? base : base + item.entry,
        found: item === undefined ? `no item ${identity}` : `${item.length} bytes`,
        accepted: `${length} bytes`,
      })
      return undefined
    }
  }
  return checkValues(values, items, base, report)
}

/** The values of the items, which usually follow each other and then are read at once. */
function* readValues(items: ReadonlyMap<string, Item>, base: number): Steps<ReadonlyMap<string, Fields>> {
  const values = new Map<string, Fields>()
  const wanted = [...items]
    .map(([identity, { offset, length }]) => {
      return {
        identity,
        offset,
        end: offset + Math.min(length, identity === parentLocator ? tableBytes : 16),
      }
    })
    .sort((a, b) => a.offset - b.offset)
  const first = wanted[0]?.offset ?? 0
  const end = Math.max(first, ...wanted.map((item) => item.end))
  const all = end - first > tableBytes ? undefined : yield* read(base + first, end - first)
  for (const item of wanted) {
    const bytes =
      end - first > tableBytes
        ? yield* read(base + item.offset, item.end - item.offset)
        : all?.subarray(item.offset - first, item.end - first)
    values.set(item.identity, new Fields(bytes ?? new Uint8Array(0)))
  }
  return values
}

function readTable(table: Fields, region: VhdxRegion, report: Report): Map<string, Item> | undefined {
  const base = Number(region.offset)
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    report.fail('metadata', { reason, offset: base + at, found, accepted })
  const count = table.u16le(10)
  if (!table.has(0, 'metadata') || table.length < tableBytes || count > mostItems) {
    wrong('The metadata table is missing or damaged', 0, `${count} items`, `at most ${mostItems} items`)
    return undefined
  }
  const known = new Set([
    fileParameters,
    virtualDiskSize,
    logicalSectorSize,
    physicalSectorSize,
    page83,
    parentLocator,
  ])
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
    if (known.has(identity)) {
      if (items.has(identity)) wrong('A metadata item is there twice', entry, identity, 'once')
      else items.set(identity, item)
    } else if ((table.u32le(entry + 24) & 4) !== 0) {
      report.fail('features', {
        reason: 'The image needs a metadata item that is not known',
        offset: base + entry,
        found: identity,
        accepted: 'the items of VHDX version 1',
      })
    }
  }
  return items
}

function checkParent(
  values: ReadonlyMap<string, Fields>,
  items: ReadonlyMap<string, Item>,
  base: number,
  report: Report,
): void {
  const locator = values.get(parentLocator)
  const flags = values.get(fileParameters)?.u32le(4) ?? 0
  if ((flags & 2) === 0 && locator === undefined) return
  const item = items.get(locator === undefined ? fileParameters : parentLocator)
  report.details.backingFile = locator === undefined ? '' : locatorText(locator)
  report.fail('backing-file', {
    reason: 'The image is a differencing disk, whose parent holds a part of the data',
    offset: base + (item?.offset ?? 0),
    found: report.details.backingFile || 'the mark of a parent',
    accepted: 'a fixed or dynamic disk',
  })
}

function checkValues(
  values: ReadonlyMap<string, Fields>,
  items: ReadonlyMap<string, Item>,
  base: number,
  report: Report,
): VhdxDisk | undefined {
  const none = new Fields(new Uint8Array(0))
  const parameters = values.get(fileParameters) ?? none
  const disk = {
    blockBytes: parameters.u32le(0),
    sizeBytes: (values.get(virtualDiskSize) ?? none).u64le(0),
    sectorBytes: (values.get(logicalSectorSize) ?? none).u32le(0),
  }
  report.virtualSize = disk.sizeBytes
  const at = (identity: string): number => base + (items.get(identity)?.offset ?? 0)
  if (disk.sectorBytes !== 512 && disk.sectorBytes !== 4096) {
    report.fail('metadata', {
      reason: 'The logical sector size is not one that a disk has',
      offset: at(logicalSectorSize),
      found: `${disk.sectorBytes}`,
      accepted: '512 or 4096',
    })
    return undefined
  }
  const power = (disk.blockBytes & (disk.blockBytes - 1)) === 0
  if (!power || disk.blockBytes < 1024 ** 2 || disk.blockBytes > 256 * 1024 ** 2) {
    report.fail('metadata', {
      reason: 'The block size is outside the format',
      offset: at(fileParameters),
      found: `${disk.blockBytes} bytes`,
      accepted: 'a power of two from 1 to 256 MiB',
    })
    return undefined
  }
  if (
    disk.sizeBytes === 0n ||
    disk.sizeBytes > largestDisk ||
    disk.sizeBytes % BigInt(disk.sectorBytes) !== 0n
  ) {
    report.fail('virtual-size', {
      reason: 'The virtual size is not one that a VHDX can have',
      offset: at(virtualDiskSize),
      found: `${disk.sizeBytes} bytes`,
      accepted: `whole sectors, at most ${largestDisk} bytes`,
      reference: 'CVE-2013-2096',
    })
    return undefined
  }
  return disk
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
