import type { Fields } from '../fields.ts'
import { hex, printable } from '../printable.ts'
import type { Report } from '../report.ts'

/** The fields of a qcow2 header that matter to a judge. */
export interface Qcow2Header {
  readonly version: number
  readonly backingOffset: bigint
  readonly backingLength: number
  readonly clusterBits: number
  /** Bytes. 0 where `clusterBits` is out of range. */
  readonly clusterSize: number
  readonly size: bigint
  readonly cryptMethod: number
  readonly l1Size: number
  readonly l1Offset: bigint
  readonly refcountTableOffset: bigint
  readonly refcountTableClusters: number
  readonly snapshots: number
  readonly snapshotsOffset: bigint
  /** Zero in version 2, whose header has no such fields. */
  readonly incompatible: bigint
  readonly autoclear: bigint
  readonly refcountOrder: number
  readonly headerLength: number
  readonly compressionType: number
  readonly extendedL2: boolean
  readonly hasDataFile: boolean
}

const dataFileBit = 4n
const compressionBit = 8n
const extendedL2Bit = 16n
const knownBits = 31n
const largestL1Bytes = 32 * 1024 ** 2
const largestRefcountTableBytes = 8 * 1024 ** 2
/** Snapshots that readers take. */
export const mostSnapshots = 65536

export function readQcow2Header(head: Fields): Qcow2Header {
  const version = head.u32be(4)
  const extended = version >= 3
  const clusterBits = head.u32be(20)
  const incompatible = extended ? head.u64be(72) : 0n
  const headerLength = extended ? head.u32be(100) : 72
  return {
    version,
    backingOffset: head.u64be(8),
    backingLength: head.u32be(16),
    clusterBits,
    clusterSize: clusterBits >= 9 && clusterBits <= 21 ? 2 ** clusterBits : 0,
    size: head.u64be(24),
    cryptMethod: head.u32be(32),
    l1Size: head.u32be(36),
    l1Offset: head.u64be(40),
    refcountTableOffset: head.u64be(48),
    refcountTableClusters: head.u32be(56),
    snapshots: head.u32be(60),
    snapshotsOffset: head.u64be(64),
    incompatible,
    autoclear: extended ? head.u64be(88) : 0n,
    refcountOrder: extended ? head.u32be(96) : 4,
    headerLength,
    compressionType: extended && headerLength > 104 ? head.u8(104) : 0,
    extendedL2: (incompatible & extendedL2Bit) !== 0n,
    hasDataFile: (incompatible & dataFileBit) !== 0n,
  }
}

/** Everything that the header alone shows, but for names. */
export function checkQcow2Header(head: Fields, header: Qcow2Header, report: Report): void {
  const { details } = report
  report.virtualSize = header.size
  if (header.clusterSize !== 0) details.clusterSizeBytes = header.clusterSize
  if (header.snapshots > 0) details.internalSnapshots = header.snapshots
  if (header.extendedL2) details.extendedL2 = true
  checkFeatures(header, report)
  checkLayout(head, header, report)
  checkTables(header, report)
  checkEncryption(header, report)
}

function checkFeatures(header: Qcow2Header, report: Report): void {
  const { incompatible } = header
  const unknown = incompatible & ~knownBits
  if (unknown !== 0n) {
    const bits = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (unknown >> BigInt(bit)) & 1n)
    report.fail('features', {
      reason: 'The image needs features that are not known, so what it would do cannot be told',
      offset: 72,
      found: printable(`incompatible feature bits ${bits.join(', ')}`),
      accepted: 'bits 0 to 4',
    })
  }
  if (header.hasDataFile) {
    report.fail('data-file', {
      reason: 'The image keeps its data in an external data file, which can be any file of the host',
      offset: 72,
      found: 'incompatible feature bit 2',
      accepted: 'an image that holds its own data',
      reference: 'CVE-2024-32498',
    })
  }
  if ((incompatible & 2n) !== 0n) {
    report.fail('corrupt', {
      reason: 'The image is marked as corrupt',
      offset: 72,
      found: 'incompatible feature bit 1',
      accepted: 'an image that `qemu-img check -r all` has repaired',
    })
  }
  if ((incompatible & 1n) !== 0n) {
    report.fail('clean', {
      reason: 'The image is marked as dirty: the program that wrote it did not close it',
      offset: 72,
      found: 'incompatible feature bit 0',
      accepted: 'an image that its program has closed, or `qemu-img check -r all` has repaired',
    })
  }
  const type = header.compressionType
  if (type > 1 || ((incompatible & compressionBit) !== 0n) !== (type !== 0)) {
    report.fail('features', {
      reason: 'Compression type and its feature bit contradict each other, or the type is not known',
      offset: 104,
      found: `type ${type}, feature bit ${(incompatible & compressionBit) === 0n ? 'clear' : 'set'}`,
      accepted: 'zlib (type 0, bit clear) or zstd (type 1, bit set)',
    })
  } else {
    report.details.compressionType = type === 1 ? 'zstd' : 'zlib'
  }
}

function checkLayout(head: Fields, header: Qcow2Header, report: Report): void {
  const wrong = (reason: string, offset: number, found: number | bigint, accepted: string): void =>
    report.fail('header', { reason, offset, found: `${found}`, accepted })
  if (head.length < header.headerLength) {
    report.fail('truncated', {
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

/** Readers take the place of a table for a signed number. */
const farthest = (1n << 63n) - 1n

function checkTables(header: Qcow2Header, report: Report): void {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    report.fail('tables', { reason, offset, found, accepted, reference: 'CVE-2015-5162' })
  const cluster = BigInt(header.clusterSize)
  if (header.size > (1n << 63n) - 512n || header.size % 512n !== 0n) {
    report.fail('virtual-size', {
      reason: 'The virtual size is not one that a disk can have',
      offset: 24,
      found: `${header.size} bytes`,
      accepted: 'a multiple of 512 below 2^63',
      reference: 'CVE-2013-2096',
    })
  }
  if (cluster === 0n) return
  const covered = cluster * (cluster / (header.extendedL2 ? 16n : 8n))
  const needed = (header.size + covered - 1n) / covered
  if (header.l1Size * 8 > largestL1Bytes) {
    wrong('The L1 table is too large', 36, `${header.l1Size} entries`, `at most ${largestL1Bytes / 8}`)
  } else if (BigInt(header.l1Size) < needed) {
    wrong('The L1 table is too small for the virtual size', 36, `${header.l1Size}`, `at least ${needed}`)
  }
  const isNowhere = header.l1Size > 0 && header.l1Offset === 0n
  if (header.l1Offset % cluster !== 0n || header.l1Offset > farthest || isNowhere) {
    wrong('The L1 table is not where a table can be', 40, hex(header.l1Offset), `a multiple of ${cluster}`)
  }
  const { refcountTableClusters: refcounts, refcountTableOffset } = header
  if (refcounts === 0 || refcounts * header.clusterSize > largestRefcountTableBytes) {
    const accepted = `1 to ${largestRefcountTableBytes / header.clusterSize}`
    wrong('The reference count table has no possible size', 56, `${refcounts} clusters`, accepted)
  }
  if (refcountTableOffset % cluster !== 0n || refcountTableOffset === 0n || refcountTableOffset > farthest) {
    const found = hex(refcountTableOffset)
    wrong('The reference count table is not where a table can be', 48, found, `a multiple of ${cluster}`)
  }
  if (header.snapshots > mostSnapshots) {
    wrong('There are too many snapshots', 60, `${header.snapshots}`, `at most ${mostSnapshots}`)
  } else if (
    header.snapshotsOffset % cluster !== 0n ||
    header.snapshotsOffset > farthest ||
    (header.snapshots > 0 && header.snapshotsOffset === 0n)
  ) {
    const found = hex(header.snapshotsOffset)
    wrong('The snapshot table is not where a table can be', 64, found, `a multiple of ${cluster}`)
  }
}

function checkEncryption(header: Qcow2Header, report: Report): void {
  const names = ['none', 'aes', 'luks']
  const name = names[header.cryptMethod]
  if (name === undefined) {
    report.fail('encryption', {
      reason: 'The encryption method is not known',
      offset: 32,
      found: `${header.cryptMethod}`,
      accepted: '0 (none), 1 (aes) or 2 (luks)',
    })
  } else if (name !== 'none') {
    report.details.encryption = name
    report.note('encryption', { reason: `The data is encrypted (${name})`, offset: 32, found: name })
  }
}
