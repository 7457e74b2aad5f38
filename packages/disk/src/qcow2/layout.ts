import type { Layout } from '@disk-image/core'
import { Fields } from '../layouts/fields.ts'
import { hex, printable } from '../layouts/printable.ts'
import { Problems } from '../layouts/problems.ts'
import { type Qcow2Extensions, readExtensions } from './layout-extensions.ts'

/** What the first cluster of a qcow2 image says. Where there are problems, any field may have any value. */
export interface Qcow2Layout extends Layout, Qcow2Extensions {
  readonly format: 'qcow2'
  readonly version: number
  /** Bytes of the disk, exactly; `sizeBytes` is the same number, rounded where it is beyond 2^53. */
  readonly exactSizeBytes: bigint
  readonly clusterBits: number
  /** Bytes; 0 where `clusterBits` is outside the format. */
  readonly clusterSize: number
  readonly headerLength: number
  /** Byte offset of the backing file's name; 0: there is none. */
  readonly backingOffset: bigint
  readonly backingLength: number
  /** Its name, printable and cut at 120 characters, where the head has it; else empty. */
  readonly backingFile: string
  /** 0 none, 1 aes, 2 luks. */
  readonly cryptMethod: number
  readonly l1Offset: bigint
  readonly l1Entries: number
  readonly refcountTableOffset: bigint
  readonly refcountTableClusters: number
  readonly refcountOrder: number
  readonly snapshotsOffset: bigint
  readonly snapshotCount: number
  /** Feature bits; zero in version 2, whose header has no such fields. */
  readonly incompatible: bigint
  readonly autoclear: bigint
  readonly compressionType: number
  readonly compression: 'zlib' | 'zstd'
  /** Whether the type is one of these, and its feature bit says the same. */
  readonly isCompressionKnown: boolean
  /** Whether L2 entries have 16 bytes, and tell of 32 subclusters each. */
  readonly extendedL2: boolean
  /** Whether the data is in another file. */
  readonly hasDataFile: boolean
}

/** The fields of the header alone. */
export type Qcow2Header = Omit<Qcow2Layout, keyof Qcow2Extensions | 'problems' | 'backingFile'>

/** Bits of the incompatible features. */
export const qcow2Feature: {
  readonly dirty: bigint
  readonly corrupt: bigint
  readonly dataFile: bigint
  readonly compression: bigint
  readonly extendedL2: bigint
} = { dirty: 1n, corrupt: 2n, dataFile: 4n, compression: 8n, extendedL2: 16n }

const knownFeatures = 31n
const largestL1Bytes = 32 * 1024 ** 2
const largestRefcountTableBytes = 8 * 1024 ** 2
/** Snapshots that readers take. */
export const mostSnapshots = 65536

/** Readers take the place of a table for a signed number. */
const farthestPlace = (1n << 63n) - 1n

/**
 * Parses the header of a qcow2 image, version 2 or 3, with its extensions.
 *
 * @param head the file's first bytes: the first cluster, or the first MiB of a longer one, or the whole file
 * @see https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function parseQcow2(head: Uint8Array): Qcow2Layout {
  const fields = new Fields(head)
  const header = readHeader(fields)
  const problems = new Problems('qcow2')
  const backingFile = backingFileOf(fields, header)
  if (!fields.has(0, [0x51, 0x46, 0x49, 0xfb])) {
    problems.add('header', {
      reason: 'The image does not begin as qcow2 does',
      offset: 0,
      accepted: 'QFI\\xfb',
    })
  } else if (header.version !== 2 && header.version !== 3) {
    problems.add('version', {
      reason: `qcow2 version ${header.version} is not known`,
      offset: 4,
      found: `${header.version}`,
      accepted: '2 or 3',
    })
  }
  if (problems.list.length > 0) {
    return Object.freeze({ ...header, backingFile, extensionsEnd: true, problems: problems.list })
  }
  checkFeatures(header, problems)
  checkHeader(fields, header, problems)
  checkPlaces(header, problems)
  checkBackingFile(header, backingFile, problems)
  const extensions = readExtensions(fields, header, problems)
  return Object.freeze({ ...header, ...extensions, backingFile, problems: problems.list })
}

/** Bytes of a head that says all that {@link parseQcow2} wants to know. */
export function qcow2HeadBytes(head: Uint8Array): number {
  const { clusterSize, headerLength } = readHeader(new Fields(head))
  return Math.max(clusterSize, headerLength)
}

function readHeader(head: Fields): Qcow2Header {
  const version = head.u32be(4)
  const extended = version >= 3
  const clusterBits = head.u32be(20)
  const incompatible = extended ? head.u64be(72) : 0n
  const headerLength = extended ? head.u32be(100) : 72
  const compressionType = extended && headerLength > 104 ? head.u8(104) : 0
  const isMarked = (incompatible & qcow2Feature.compression) !== 0n
  const exactSizeBytes = head.u64be(24)
  return {
    format: 'qcow2',
    version,
    exactSizeBytes,
    sizeBytes: Number(exactSizeBytes),
    clusterBits,
    clusterSize: clusterBits >= 9 && clusterBits <= 21 ? 2 ** clusterBits : 0,
    headerLength,
    backingOffset: head.u64be(8),
    backingLength: head.u32be(16),
    cryptMethod: head.u32be(32),
    l1Offset: head.u64be(40),
    l1Entries: head.u32be(36),
    refcountTableOffset: head.u64be(48),
    refcountTableClusters: head.u32be(56),
    refcountOrder: extended ? head.u32be(96) : 4,
    snapshotsOffset: head.u64be(64),
    snapshotCount: head.u32be(60),
    incompatible,
    autoclear: extended ? head.u64be(88) : 0n,
    compressionType,
    compression: compressionType === 1 ? 'zstd' : 'zlib',
    isCompressionKnown: compressionType <= 1 && isMarked === (compressionType !== 0),
    extendedL2: (incompatible & qcow2Feature.extendedL2) !== 0n,
    hasDataFile: (incompatible & qcow2Feature.dataFile) !== 0n,
  }
}

function checkFeatures(header: Qcow2Header, problems: Problems): void {
  const { incompatible, compressionType } = header
  const unknown = incompatible & ~knownFeatures
  if (unknown !== 0n) {
    const bits = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (unknown >> BigInt(bit)) & 1n)
    problems.add('features', {
      reason: 'The image needs features that are not known, so what it would do cannot be told',
      offset: 72,
      found: printable(`incompatible feature bits ${bits.join(', ')}`),
      accepted: 'bits 0 to 4',
    })
  }
  if (header.hasDataFile) {
    problems.add('data-file', {
      reason: 'The image keeps its data in an external data file, which can be any file of the host',
      offset: 72,
      found: 'incompatible feature bit 2',
      accepted: 'an image that holds its own data',
      reference: 'CVE-2024-32498',
    })
  }
  if ((incompatible & qcow2Feature.corrupt) !== 0n) {
    problems.add('corrupt', {
      reason: 'The image is marked as corrupt',
      offset: 72,
      found: 'incompatible feature bit 1',
      accepted: 'an image that `qemu-img check -r all` has repaired',
    })
  }
  if ((incompatible & qcow2Feature.dirty) !== 0n) {
    problems.add('clean', {
      reason: 'The image is marked as dirty: the program that wrote it did not close it',
      offset: 72,
      found: 'incompatible feature bit 0',
      accepted: 'an image that its program has closed, or `qemu-img check -r all` has repaired',
    })
  }
  if (!header.isCompressionKnown) {
    const isMarked = (incompatible & qcow2Feature.compression) !== 0n
    problems.add('features', {
      reason: 'Compression type and its feature bit contradict each other, or the type is not known',
      offset: 104,
      found: `type ${compressionType}, feature bit ${isMarked ? 'set' : 'clear'}`,
      accepted: 'zlib (type 0, bit clear) or zstd (type 1, bit set)',
    })
  }
  if (header.cryptMethod > 2) {
    problems.add('encryption', {
      reason: 'The encryption method is not known',
      offset: 32,
      found: `${header.cryptMethod}`,
      accepted: '0 (none), 1 (aes) or 2 (luks)',
    })
  }
}

function checkHeader(head: Fields, header: Qcow2Header, problems: Problems): void {
  const wrong = (reason: string, offset: number, found: number | bigint, accepted: string): void =>
    problems.add('header', { reason, offset, found: `${found}`, accepted })
  if (head.length < header.headerLength) {
    problems.add('truncated', {
      reason: 'The file ends within its header',
      found: `${head.length} bytes`,
      accepted: `at least ${header.headerLength} bytes`,
    })
  }
  if (header.clusterSize === 0) {
    wrong('The cluster size is outside the format', 20, header.clusterBits, '9 to 21 bits')
  } else if (header.headerLength < (header.version === 2 ? 72 : 104)) {
    wrong('The header is shorter than the format allows', 100, header.headerLength, 'at least 104')
  } else if (header.headerLength > header.clusterSize) {
    wrong('The header is longer than a cluster', 100, header.headerLength, `at most ${header.clusterSize}`)
  }
  if (header.refcountOrder > 6) {
    wrong('Reference counts are wider than the format allows', 96, header.refcountOrder, '0 to 6')
  }
  if (header.extendedL2 && header.clusterBits < 14) {
    wrong('Extended L2 entries need larger clusters', 20, header.clusterBits, '14 to 21 bits')
  }
  if (header.backingOffset !== 0n && header.backingOffset > BigInt(header.clusterSize)) {
    wrong('The backing file name lies outside the first cluster', 8, header.backingOffset, 'none')
  }
  if (header.backingOffset !== 0n && header.backingLength > 1023) {
    wrong('The backing file name is too long', 16, header.backingLength, 'at most 1023')
  }
}

/** Bounds the tables that the header names. */
function checkPlaces(header: Qcow2Header, problems: Problems): void {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    problems.add('tables', { reason, offset, found, accepted, reference: 'CVE-2015-5162' })
  const size = header.exactSizeBytes
  if (size > (1n << 63n) - 512n || size % 512n !== 0n) {
    problems.add('virtual-size', {
      reason: 'The virtual size is not one that a disk can have',
      offset: 24,
      found: `${size} bytes`,
      accepted: 'a multiple of 512 below 2^63',
      reference: 'CVE-2013-2096',
    })
  }
  if (header.clusterSize === 0) return
  const cluster = BigInt(header.clusterSize)
  const isPlace = (place: bigint): boolean => place % cluster === 0n && place <= farthestPlace
  const covered = cluster * (cluster / (header.extendedL2 ? 16n : 8n))
  const needed = (size + covered - 1n) / covered
  if (header.l1Entries * 8 > largestL1Bytes) {
    wrong('The L1 table is too large', 36, `${header.l1Entries} entries`, `at most ${largestL1Bytes / 8}`)
  } else if (BigInt(header.l1Entries) < needed) {
    wrong('The L1 table is too small for the virtual size', 36, `${header.l1Entries}`, `at least ${needed}`)
  }
  if (!isPlace(header.l1Offset) || (header.l1Entries > 0 && header.l1Offset === 0n)) {
    wrong('The L1 table is not where a table can be', 40, hex(header.l1Offset), `a multiple of ${cluster}`)
  }
  const { refcountTableClusters: refcounts, refcountTableOffset } = header
  if (refcounts === 0 || refcounts * header.clusterSize > largestRefcountTableBytes) {
    const accepted = `1 to ${largestRefcountTableBytes / header.clusterSize}`
    wrong('The reference count table has no possible size', 56, `${refcounts} clusters`, accepted)
  }
  if (!isPlace(refcountTableOffset) || refcountTableOffset === 0n) {
    const found = hex(refcountTableOffset)
    wrong('The reference count table is not where a table can be', 48, found, `a multiple of ${cluster}`)
  }
  const { snapshotCount, snapshotsOffset } = header
  if (snapshotCount > mostSnapshots) {
    wrong('There are too many snapshots', 60, `${snapshotCount}`, `at most ${mostSnapshots}`)
  } else if (!isPlace(snapshotsOffset) || (snapshotCount > 0 && snapshotsOffset === 0n)) {
    const found = hex(snapshotsOffset)
    wrong('The snapshot table is not where a table can be', 64, found, `a multiple of ${cluster}`)
  }
}

function checkBackingFile(header: Qcow2Header, name: string, problems: Problems): void {
  if (header.backingOffset === 0n) return
  problems.add('backing-file', {
    reason: 'The image has a backing file: a tool that opens it opens that file of the host too',
    offset: 8,
    found: name === '' ? `offset ${hex(header.backingOffset)}, ${header.backingLength} bytes` : name,
    accepted: 'an image without a backing file (`qemu-img convert` makes one)',
    reference: 'CVE-2015-5163',
  })
}

function backingFileOf(head: Fields, { backingOffset, backingLength }: Qcow2Header): string {
  const inside = backingOffset > 0n && backingOffset < BigInt(head.length)
  return inside ? printable(head.text(Number(backingOffset), Math.min(backingLength, 1023))) : ''
}

/** Guest bytes that one L2 table, which has one cluster, describes. */
export function bytesPerL2Table({ clusterSize, extendedL2 }: Qcow2Header): number {
  return (clusterSize / (extendedL2 ? 16 : 8)) * clusterSize
}

/** Entries of the L1 table that the disk needs; the others must be empty. */
export function usedL1Entries(header: Qcow2Header): number {
  return Math.ceil(header.sizeBytes / bytesPerL2Table(header))
}

/** Bits 32 to 55 of an L1 or L2 entry, in its upper half: with bits 9 to 31 they are an offset. */
export const entryOffsetHigh = 0x00ffffff
/** Bits 9 to 31 of an entry. */
export const entryOffsetLow: number = 0xfffffe00
/** Bits of the upper half of an L1 entry that must be zero; bit 63 says whether the table is shared. */
export const l1ReservedHigh: number = 0x7f000000
/** Bit 62 of an L2 entry, in its upper half. */
export const compressedHigh: number = 0x40000000
/** Bit 0 of an L2 entry: the cluster reads as zeros. */
export const zeroLow = 1

/** Where a table or cluster lies, by the halves of its entry, flags left out. */
export function entryOffset(high: number, low: number): number {
  return (high & entryOffsetHigh) * 2 ** 32 + ((low & entryOffsetLow) >>> 0)
}

/** How many of a compressed entry's bits are the byte offset; those up to bit 61 count the further sectors. */
export function compressedOffsetBits(clusterBits: number): number {
  return 70 - clusterBits
}

/** Bytes of an entry of the snapshot table, without what it has of any length. */
export const snapshotEntryBytes = 40
/** Extra data of one snapshot that readers take. */
export const mostSnapshotExtraBytes = 1024
/** Longest snapshot table that readers take. */
export const mostSnapshotTableBytes: number = 64 * 1024 ** 2

/** What an entry of the snapshot table says. */
export interface SnapshotEntry {
  readonly l1Offset: bigint
  readonly l1Entries: number
  readonly extraBytes: number
  /** Bytes of the whole entry; the next one begins at the next multiple of 8. */
  readonly length: number
}

/** @see https://www.qemu.org/docs/master/interop/qcow2.html, "Snapshots" */
export function readSnapshotEntry(bytes: Uint8Array): SnapshotEntry {
  const fields = new Fields(bytes)
  const extraBytes = fields.u32be(36)
  return {
    l1Offset: fields.u64be(0),
    l1Entries: fields.u32be(8),
    extraBytes,
    length: snapshotEntryBytes + extraBytes + fields.u16be(12) + fields.u16be(14),
  }
}
