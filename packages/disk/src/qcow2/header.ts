/** What the decoder needs of an image's header. Every field is checked. */
export interface Qcow2Header {
  readonly version: 2 | 3
  /** Bytes of the disk inside. */
  readonly virtualSizeBytes: number
  readonly clusterBits: number
  readonly clusterSize: number
  readonly compression: 'zlib' | 'zstd'
  readonly l1Offset: number
  /** Entries that the table has. */
  readonly l1Entries: number
  /** Entries that the virtual size needs; the others must be empty. */
  readonly l1EntriesUsed: number
  readonly refcountTableOffset: number
  readonly refcountTableBytes: number
  readonly snapshotCount: number
  readonly snapshotsOffset: number
}

/** Guest bytes that one L2 table describes. */
export function bytesPerL2Table(header: Qcow2Header): number {
  return (header.clusterSize / 8) * header.clusterSize
}
