/** What the decoder needs of an image's header. Every field is checked. */
export interface Qcow2Header {
  readonly version: 2 | 3
  /** Bytes of the disk inside. */
  readonly virtualSizeBytes: number
  readonly clusterBits: number
  readonly clusterSize: number
  readonly compression: 'zlib' | 'zstd'
  /** Whether L2 entries have 16 bytes, and tell of 32 subclusters each. */
  readonly extendedL2: boolean
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

/** Entries of an L2 table, which has one cluster. */
export function entriesPerL2Table({ clusterSize, extendedL2 }: Qcow2Header): number {
  return clusterSize / (extendedL2 ? 16 : 8)
}

/** Guest bytes that one L2 table describes. */
export function bytesPerL2Table(header: Qcow2Header): number {
  return entriesPerL2Table(header) * header.clusterSize
}
