import { InvalidError, MiB } from '@disk-image/core'
import type { Qcow2EncodeOptions } from '../encode/encode-options.ts'
import { viewOf } from '../layouts/fields.ts'

/** Readers take no longer tables. */
const mostL1Bytes = 32 * MiB
const mostRefcountTableBytes = 8 * MiB
const version3HeaderBytes = 112
const copiedHigh = 0x80000000
const compressedHigh = 0x40000000
const zstdFeature = 8

/**
 * Where everything is in a file that is written in one go. Counted in clusters of the file: the header; the refcount
 * table, as long as the disk could ever need; the L1 table; the refcount blocks of what is here so far; then tables and
 * clusters of data in the order of the disk, each L2 table in front of its clusters. Each further refcount block is the
 * first cluster of those that it counts.
 */
export class Qcow2Geometry {
  readonly version: 2 | 3
  readonly compression: 'none' | 'zlib' | 'zstd'
  readonly clusterSize: number
  readonly clusterBits: number
  /** Of the disk, in whole sectors. */
  readonly sizeBytes: number
  /** Guest clusters that one L2 table tells of. */
  readonly clustersPerTable: number
  readonly l1Entries: number
  readonly l1Cluster: number
  readonly l1Clusters: number
  readonly refcountTableClusters: number
  /** Clusters that a refcount block counts. */
  readonly perBlock: number
  /** Refcount blocks that come right behind the L1 table. */
  readonly frontBlocks: number
  /** The first cluster behind those. */
  readonly front: number

  /** @throws {InvalidError} for what no reader would take */
  constructor(diskBytes: number, options: Qcow2EncodeOptions = {}) {
    const { version = 3, clusterSizeBytes: clusterSize = 65_536, compression = 'none' } = options
    const clusterBits = Math.log2(clusterSize)
    if (!Number.isInteger(clusterBits) || clusterBits < 12 || clusterBits > 21) {
      throw new InvalidError({
        reason: `A qcow2 cluster can't have ${clusterSize} bytes; a power of two from 4096 to 2097152 can.`,
      })
    }
    if (version !== 2 && version !== 3) {
      throw new InvalidError({ reason: `qcow2 version ${String(version)} is not written here; 2 and 3 are` })
    }
    if (!['none', 'zlib', 'zstd'].includes(compression)) {
      throw new InvalidError({
        reason: `qcow2 has no compression ${compression}; none, zlib and zstd are there`,
      })
    }
    if (compression === 'zstd' && version === 2) {
      throw new InvalidError({ reason: 'zstd needs version 3 of qcow2.' })
    }
    this.version = version
    this.compression = compression
    this.clusterSize = clusterSize
    this.clusterBits = clusterBits
    this.sizeBytes = Math.ceil(diskBytes / 512) * 512
    this.clustersPerTable = clusterSize / 8
    const clusters = Math.ceil(this.sizeBytes / clusterSize)
    this.l1Entries = Math.max(1, Math.ceil(clusters / this.clustersPerTable))
    if (this.l1Entries * 8 > mostL1Bytes) {
      throw new InvalidError({
        reason: `A qcow2 with clusters of ${clusterSize} bytes can't hold a disk of ${this.sizeBytes}; larger clusters can.`,
      })
    }
    this.l1Clusters = Math.ceil((this.l1Entries * 8) / clusterSize)
    this.perBlock = clusterSize / 2
    const most = clusters + this.l1Entries + this.l1Clusters + 1
    this.refcountTableClusters = this.#refcountTable(most)
    this.l1Cluster = 1 + this.refcountTableClusters
    const tables = this.l1Cluster + this.l1Clusters
    this.frontBlocks = Math.ceil(tables / (this.perBlock - 1))
    this.front = tables + this.frontBlocks
  }

  /** Clusters of a table for so many of the file: what it counts itself, counts too. */
  #refcountTable(clusters: number): number {
    let table = 1
    for (;;) {
      const blocks = Math.ceil((clusters + table) / (this.perBlock - 1)) + 1
      const needed = Math.ceil((blocks * 8) / this.clusterSize)
      if (needed <= table) return Math.min(table, mostRefcountTableBytes / this.clusterSize)
      table = needed
    }
  }

  /** The place of the n-th table or cluster of data, from 0 on. */
  clusterAt(ordinal: number): number {
    const first = this.frontBlocks * this.perBlock
    const index = this.front + ordinal
    if (index < first) return index
    const behind = index - first
    const block = Math.floor(behind / (this.perBlock - 1))
    return first + block * this.perBlock + 1 + (behind - block * (this.perBlock - 1))
  }

  /** Clusters of a file with so many of them. */
  totalClusters(ordinals: number): number {
    return ordinals === 0 ? this.front : this.clusterAt(ordinals - 1) + 1
  }

  /** The cluster of a refcount block. */
  blockCluster(block: number): number {
    return block < this.frontBlocks ? this.front - this.frontBlocks + block : block * this.perBlock
  }

  /** @throws {InvalidError} where the refcount table has no entry for the last one */
  requireCounted(totalClusters: number): void {
    if (totalClusters <= (this.refcountTableClusters * this.clusterSize * this.perBlock) / 8) return
    throw new InvalidError({
      reason: `A qcow2 with clusters of ${this.clusterSize} bytes can't have ${totalClusters} of them; larger ones hold this disk.`,
    })
  }

  /** The first cluster of the file. @see https://www.qemu.org/docs/master/interop/qcow2.html, "Header" */
  header(): Uint8Array {
    const bytes = new Uint8Array(this.clusterSize)
    const view = viewOf(bytes)
    view.setUint32(0, 0x514649fb)
    view.setUint32(4, this.version)
    view.setUint32(20, this.clusterBits)
    setUint64(view, 24, this.sizeBytes)
    view.setUint32(36, this.l1Entries)
    setUint64(view, 40, this.l1Cluster * this.clusterSize)
    setUint64(view, 48, this.clusterSize)
    view.setUint32(56, this.refcountTableClusters)
    if (this.version === 2) return bytes
    if (this.compression === 'zstd') {
      setUint64(view, 72, zstdFeature)
      view.setUint8(104, 1)
    }
    view.setUint32(96, 4)
    view.setUint32(100, version3HeaderBytes)
    return bytes
  }

  /** The refcount table of a file with so many clusters, as far as it is not zero. */
  refcountTable(totalClusters: number): Uint8Array {
    const blocks = Math.ceil(totalClusters / this.perBlock)
    const bytes = new Uint8Array(blocks * 8)
    const view = viewOf(bytes)
    for (let block = 0; block < blocks; block += 1) {
      setUint64(view, block * 8, this.blockCluster(block) * this.clusterSize)
    }
    return bytes
  }

  /** A refcount block of a file in which each cluster is used once. */
  soleBlock(block: number, totalClusters: number): Uint8Array {
    const bytes = new Uint8Array(this.clusterSize)
    const count = Math.min(this.perBlock, totalClusters - block * this.perBlock)
    for (let index = 0; index < count; index += 1) bytes[index * 2 + 1] = 1
    return bytes
  }
}

/** Puts the place of an L2 table, or of a cluster that is stored as it is, into a table. */
export function setPlace(view: DataView, index: number, place: number): void {
  view.setUint32(index * 8, (copiedHigh | Math.floor(place / 2 ** 32)) >>> 0)
  view.setUint32(index * 8 + 4, place >>> 0)
}

/** Puts the place of a compressed cluster into its table. */
export function setCompressedPlace(
  view: DataView,
  index: number,
  place: number,
  length: number,
  clusterBits: number,
): void {
  // Bits 0 to x-1 are the place, x to 61 count the further sectors, x being 70 less the cluster bits: above 48.
  const furtherSectors = Math.floor((place + length - 1) / 512) - Math.floor(place / 512)
  const shift = 70 - clusterBits - 32
  const high = compressedHigh + furtherSectors * 2 ** shift + Math.floor(place / 2 ** 32)
  view.setUint32(index * 8, high)
  view.setUint32(index * 8 + 4, place >>> 0)
}

function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 2 ** 32))
  view.setUint32(offset + 4, value >>> 0)
}
