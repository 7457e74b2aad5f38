import { MiB } from '@disk-image/core'
import type { FileRange } from '../blocks/block-map.ts'
import { refuse } from '../disk-format-error.ts'
import type { ImageFile } from '../image-file.ts'
import { crc32cOf } from './crc32c.ts'

const KiB = 1024
const headerBytes = 4 * KiB
const tableBytes = 64 * KiB
const regionTableOffset = 192 * KiB
const mostEntries = 2047

/** Identities, in the byte order of the file. */
const batRegion = '6677c22d23f600429d64115e9bfd4a08'
const metadataRegion = '06a27c8b90479a4bb8fe575f050f886e'

/** Where a VHDX has its tables. */
export interface VhdxRegions {
  readonly bat: FileRange
  readonly metadata: FileRange
  /** Everything that is no block of the disk: the header section, the log, and all regions. */
  readonly reserved: readonly FileRange[]
}

/**
 * Reads the current header and the region table.
 *
 * @throws {DiskFormatError} where the log has to be replayed first, or a region lies where none can
 * @see Microsoft, [MS-VHDX], 2.2 "Header Section"
 */
export async function readVhdxRegions(file: ImageFile): Promise<VhdxRegions> {
  const log = await readLog(file)
  const view = await file.read(regionTableOffset, tableBytes, 'the region table')
  const count = view.getUint32(8, true)
  if (!startsWith(view, 'regi') || count > mostEntries || crc32cOf(view) !== view.getUint32(4, true)) {
    refuse('vhdx-header', 'the region table is damaged', {
      offset: regionTableOffset,
      found: `${count} regions`,
    })
  }
  const regions = new Map<string, FileRange>()
  for (let index = 0; index < count; index += 1) {
    const entry = 16 + index * 32
    const identity = identityAt(view, entry)
    const region = {
      offset: Number(view.getBigUint64(entry + 16, true)),
      length: view.getUint32(entry + 24, true),
    }
    const known = identity === batRegion || identity === metadataRegion
    if ((!known && (view.getUint32(entry + 28, true) & 1) !== 0) || regions.has(identity)) {
      refuse('vhdx-region', 'a region is needed that is not known, or is there twice', {
        found: identity,
        offset: regionTableOffset + entry,
        accepted: 'block allocation table and metadata',
      })
    }
    requirePlace(file, region, regionTableOffset + entry + 16)
    regions.set(identity, region)
  }
  const bat = regions.get(batRegion)
  const metadata = regions.get(metadataRegion)
  if (bat === undefined || metadata === undefined) {
    return refuse('vhdx-region', 'a region is missing', { offset: regionTableOffset })
  }
  const reserved = [{ offset: 0, length: MiB }, log, ...regions.values()]
  return { bat, metadata, reserved }
}

/** The current header is the one with the higher sequence number of those that are whole. */
async function readLog(file: ImageFile): Promise<FileRange> {
  let current: { readonly view: DataView; readonly offset: number; readonly sequence: bigint } | undefined
  for (const offset of [64 * KiB, 128 * KiB]) {
    const view = await file.read(offset, headerBytes, 'a header')
    const whole =
      startsWith(view, 'head') && view.getUint16(66, true) === 1 && crc32cOf(view) === view.getUint32(4, true)
    const sequence = view.getBigUint64(8, true)
    if (whole && (current === undefined || sequence > current.sequence)) current = { view, offset, sequence }
  }
  if (current === undefined) return refuse('vhdx-header', 'neither header is whole', { offset: 64 * KiB })
  const { view, offset } = current
  if (view.getBigUint64(48, true) !== 0n || view.getBigUint64(56, true) !== 0n) {
    refuse('vhdx-log', 'the log has changes that are not yet in their place', {
      offset: offset + 48,
      found: 'a log identity',
      accepted:
        'an image that its program has closed: attach it once, or let qemu-img check -r all replay it',
    })
  }
  const log = { offset: Number(view.getBigUint64(72, true)), length: view.getUint32(68, true) }
  if (log.length > 0) requirePlace(file, log, offset + 68)
  return log
}

function requirePlace(file: ImageFile, { offset, length }: FileRange, at: number): void {
  if (offset >= MiB && offset % MiB === 0 && length % MiB === 0 && offset + length <= file.sizeBytes) return
  refuse('vhdx-region', 'a region lies where none can be', {
    found: `${length} bytes at ${offset}`,
    offset: at,
    accepted: `whole MiB, from 1 MiB to ${file.sizeBytes} bytes`,
  })
}

/** Sixteen bytes as hexadecimal, in the order of the file. */
export function identityAt(view: DataView, at: number): string {
  return Buffer.from(view.buffer, view.byteOffset + at, 16).toString('hex')
}

/** Whether a table has its signature. */
export function startsWith(view: DataView, signature: string): boolean {
  return Buffer.from(view.buffer, view.byteOffset, signature.length).toString('latin1') === signature
}
