import { type CallOptions, type Disk, type EncodedImage, InvalidError } from '@disk-image/core'
import { compressDisk } from '../encode/compress-disk.ts'
import { type EncodeOptions, levelOf } from '../encode/encode-options.ts'
import { type EncodeShare, shareEncodeWorkers } from '../encode/encode-workers.ts'
import { type FilePart, imageOfParts } from '../encode/image-of-parts.ts'
import { type StoredDisk, storedDisk } from '../raw/stored-disk.ts'
import { viewOf } from '../layouts/fields.ts'
import {
  directoryAtEnd,
  grainBytes,
  grainSectors,
  mostFileSectors,
  sectorBytes,
  shapeVmdk,
  tableEntries,
  tableSectors,
  tableSpanBytes,
  type VmdkShape,
} from './vmdk-writing.ts'

/** Sector of the disk and length, in front of the compressed bytes. */
const grainMarkerBytes = 12
/** Where the first grain begins, as VMware has it. */
const overhead = 128
const markers = { end: 0, table: 1, directory: 2, footer: 3 } as const

/**
 * Lays a disk out as VMware's format for streams: grains of 64 KiB compressed on all threads, each table behind its
 * grains, the directory and a footer that knows it at the end. Grains of zeros are left out.
 */
export function encodeStreamOptimized(disk: Disk, options: EncodeOptions): EncodedImage {
  const shape = shapeVmdk('streamOptimized', disk.size, options.vmdk ?? {})
  const level = levelOf(options)
  return imageOfParts({
    format: 'vmdk',
    sizeBytes: undefined,
    async *parts(call) {
      const share = shareEncodeWorkers(options.workers)
      try {
        yield* streamParts(storedDisk(disk), shape, share, level, call)
      } finally {
        await share.close()
      }
    },
  })
}

async function* streamParts(
  disk: StoredDisk,
  shape: VmdkShape,
  share: EncodeShare,
  level: number,
  call: CallOptions,
): AsyncGenerator<FilePart, void, void> {
  const places = { directory: directoryAtEnd, redundantDirectory: 0, overhead }
  const tables = new Tables(shape.tables)
  yield Buffer.concat([shape.header(places), shape.descriptor], overhead * sectorBytes)
  let sector = overhead
  const units = compressDisk(disk, share, {
    ...call,
    kind: { wrapped: true, level, windowBits: 15 },
    unitBytes: grainBytes,
    leadBytes: grainMarkerBytes,
    alignBytes: sectorBytes,
  })
  for await (const { offset, lengths, bytes } of units) {
    const table = tables.leaveFor(offset, sector)
    if (table !== undefined) {
      yield table
      sector += table.length / sectorBytes
    }
    markGrains(tables, offset, lengths, bytes, sector)
    sector += bytes.length / sectorBytes
    if (sector >= mostFileSectors) throw tooBig(disk)
    if (bytes.length > 0) yield bytes
  }
  const last = tables.leaveFor(Number.POSITIVE_INFINITY, sector) ?? new Uint8Array(0)
  sector += last.length / sectorBytes
  const directory = withMarker(markers.directory, tables.directory)
  const footer = shape.header({ ...places, directory: sector + 1 })
  if (sector + directory.length / sectorBytes >= mostFileSectors) throw tooBig(disk)
  yield Buffer.concat([last, directory, withMarker(markers.footer, footer), new Uint8Array(sectorBytes)])
}

/** Puts a marker into the place left free before each grain. */
function markGrains(
  tables: Tables,
  offset: number,
  lengths: Int32Array,
  bytes: Uint8Array,
  sector: number,
): void {
  const view = viewOf(bytes)
  let at = 0
  for (const [index, length] of lengths.entries()) {
    if (length === 0) continue
    const grain = offset / grainBytes + index
    view.setBigUint64(at, BigInt(grain * grainSectors), true)
    view.setUint32(at + 8, length, true)
    tables.set(grain, sector + at / sectorBytes)
    at += Math.ceil((grainMarkerBytes + length) / sectorBytes) * sectorBytes
  }
}

/** The grain table that grains come for, and the directory of those before. */
class Tables {
  readonly directory: Uint8Array
  #current = -1
  #entries = new Uint8Array(tableSectors * sectorBytes)
  #isEmpty = true

  constructor(count: number) {
    this.directory = new Uint8Array(Math.ceil((count * 4) / sectorBytes) * sectorBytes)
  }

  set(grain: number, sector: number): void {
    viewOf(this.#entries).setUint32((grain % tableEntries) * 4, sector, true)
    this.#isEmpty = false
  }

  /** The table with its marker, to be written at a sector, where the grains from a byte of the disk on are another's. */
  leaveFor(offset: number, sector: number): Uint8Array | undefined {
    const next = Math.floor(offset / tableSpanBytes)
    if (next === this.#current) return undefined
    const [left, entries, isEmpty] = [this.#current, this.#entries, this.#isEmpty]
    this.#current = next
    if (isEmpty) return undefined
    this.#entries = new Uint8Array(entries.length)
    this.#isEmpty = true
    viewOf(this.directory).setUint32(left * 4, sector + 1, true)
    return withMarker(markers.table, entries)
  }
}

function withMarker(type: number, bytes: Uint8Array): Uint8Array {
  const marked = new Uint8Array(sectorBytes + bytes.length)
  const view = viewOf(marked)
  view.setBigUint64(0, BigInt(bytes.length / sectorBytes), true)
  view.setUint32(12, type, true)
  marked.set(bytes, sectorBytes)
  return marked
}

function tooBig({ size }: StoredDisk): InvalidError {
  return new InvalidError({ reason: `a VMDK has at most 2 TiB, and this disk of ${size} bytes needs more` })
}
