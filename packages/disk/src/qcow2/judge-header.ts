import { findUnsupportedExtension } from './header-extensions.ts'
import { bytesPerL2Table, type Qcow2Header } from './header.ts'
import { maximumL1Bytes, maximumRefcountTableBytes, maximumSnapshots } from './limits.ts'

/** The header, or why the decoder leaves the image alone. */
export type HeaderVerdict = { readonly header: Qcow2Header } | { readonly reason: string }

const magic = 0x514649fb
const dirty = 1n
const corrupt = 2n
const externalData = 4n
const compressionField = 8n
const extendedL2 = 16n
const rawExternalData = 2n

const version2HeaderBytes = 72
const version3HeaderBytes = 104

interface Fields {
  readonly headerLength: number
  readonly incompatible: bigint
  readonly autoclear: bigint
  readonly refcountOrder: number
  readonly compressionType: number
}

const version2: Fields = {
  headerLength: version2HeaderBytes,
  incompatible: 0n,
  autoclear: 0n,
  refcountOrder: 4,
  compressionType: 0,
}

function readFields(view: DataView): Fields | undefined {
  if (view.byteLength < version3HeaderBytes) return undefined
  const headerLength = view.getUint32(100)
  return {
    headerLength,
    incompatible: view.getBigUint64(72),
    autoclear: view.getBigUint64(88),
    refcountOrder: view.getUint32(96),
    compressionType:
      headerLength > version3HeaderBytes && view.byteLength > version3HeaderBytes ? view.getUint8(104) : 0,
  }
}

/**
 * Judges the first bytes of a file: at least the header with its extensions, at most any number.
 * Every offset and count is bounded here, before anything is read or allocated by it.
 *
 * @param allowExtendedL2 whether the reader knows extended L2 entries
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function judgeHeader(head: Uint8Array, allowExtendedL2 = false): HeaderVerdict {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  if (head.byteLength < version2HeaderBytes || view.getUint32(0) !== magic) {
    return { reason: 'it has no qcow2 header' }
  }
  const version = view.getUint32(4)
  if (version !== 2 && version !== 3) return { reason: `its version is ${version}, not 2 or 3` }
  const fields = version === 2 ? version2 : readFields(view)
  if (fields === undefined) return { reason: 'its header is cut short' }

  const clusterBits = view.getUint32(20)
  if (clusterBits < 9 || clusterBits > 21) {
    return { reason: `its cluster size is 2^${clusterBits} bytes, not 2^9 to 2^21` }
  }
  const reason =
    findUnsupportedFeature(view, fields, clusterBits, allowExtendedL2) ??
    findUnsupportedExtension(head, fields.headerLength, 2 ** clusterBits, fields.autoclear)
  return reason === undefined ? readGeometry(view, version, clusterBits, fields) : { reason }
}

function findUnsupportedFeature(
  view: DataView,
  fields: Fields,
  clusterBits: number,
  allowExtendedL2: boolean,
): string | undefined {
  const { headerLength, incompatible, compressionType } = fields
  if (view.getBigUint64(8) !== 0n || view.getUint32(16) !== 0) return 'it has a backing file'
  if (view.getUint32(32) !== 0) return 'it is encrypted'
  if (headerLength < version2HeaderBytes || headerLength > 2 ** clusterBits || headerLength % 8 !== 0) {
    return `its header length is ${headerLength}`
  }
  if (fields !== version2 && headerLength < version3HeaderBytes) return `its header length is ${headerLength}`
  if ((incompatible & dirty) !== 0n) return 'it was not closed cleanly'
  if ((incompatible & corrupt) !== 0n) return 'it is marked as corrupt'
  if ((incompatible & externalData) !== 0n) return 'it keeps its data in another file'
  const extended = (incompatible & extendedL2) !== 0n
  if (extended && !allowExtendedL2) return 'it has extended L2 entries'
  if (extended && clusterBits < 14) return 'its clusters are too small for extended L2 entries'
  if ((incompatible & ~(compressionField | extendedL2)) !== 0n) return 'it has unknown incompatible features'
  if ((fields.autoclear & rawExternalData) !== 0n) return 'it claims a raw external data file'
  if (fields.refcountOrder > 6) return `its refcount order is ${fields.refcountOrder}`
  if (compressionType > 1) return `its compression type is ${compressionType}`
  if ((compressionType !== 0) !== ((incompatible & compressionField) !== 0n)) {
    return 'its compression type and feature bit contradict each other'
  }
  return undefined
}

function readGeometry(view: DataView, version: 2 | 3, clusterBits: number, fields: Fields): HeaderVerdict {
  const clusterSize = 2 ** clusterBits
  const size = view.getBigUint64(24)
  if (size % 512n !== 0n) return { reason: `its virtual size, ${size}, is no multiple of 512` }
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) return { reason: `its virtual size, ${size}, is beyond 2^53` }
  const tables = {
    l1: tablePlace(view.getBigUint64(40), view.getUint32(36) * 8, clusterSize, maximumL1Bytes),
    refcounts: tablePlace(
      view.getBigUint64(48),
      view.getUint32(56) * clusterSize,
      clusterSize,
      maximumRefcountTableBytes,
    ),
    snapshots: tablePlace(view.getBigUint64(64), view.getUint32(60) * 40, clusterSize, maximumSnapshots * 40),
  }
  const { l1, refcounts, snapshots } = tables
  if (l1 === undefined) return { reason: 'its L1 table is misplaced or too large' }
  if (refcounts === undefined || refcounts.bytes === 0) {
    return { reason: 'its refcount table is missing, misplaced or too large' }
  }
  if (snapshots === undefined) return { reason: 'its snapshot table is misplaced or too large' }
  const header: Qcow2Header = {
    version,
    virtualSizeBytes: Number(size),
    clusterBits,
    clusterSize,
    compression: fields.compressionType === 1 ? 'zstd' : 'zlib',
    extendedL2: (fields.incompatible & extendedL2) !== 0n,
    l1Offset: l1.offset,
    l1Entries: l1.bytes / 8,
    l1EntriesUsed: 0,
    refcountTableOffset: refcounts.offset,
    refcountTableBytes: refcounts.bytes,
    snapshotCount: snapshots.bytes / 40,
    snapshotsOffset: snapshots.offset,
  }
  const l1EntriesUsed = Math.ceil(header.virtualSizeBytes / bytesPerL2Table(header))
  if (header.l1Entries < l1EntriesUsed) return { reason: 'its L1 table is too small for its virtual size' }
  return { header: { ...header, l1EntriesUsed } }
}

/** Bounds a table that the header names: aligned, of a bounded size, and not where the header is. */
function tablePlace(
  offset: bigint,
  bytes: number,
  clusterSize: number,
  maximumBytes: number,
): { readonly offset: number; readonly bytes: number } | undefined {
  if (bytes > maximumBytes || offset > BigInt(Number.MAX_SAFE_INTEGER - maximumBytes)) return undefined
  const place = { offset: Number(offset), bytes }
  if (place.offset % clusterSize !== 0 || (bytes > 0 && place.offset === 0)) return undefined
  return place
}
