/** Field values that differ from a small good image's. */
export interface ImageParts {
  readonly version?: 2 | 3
  readonly clusterBits?: number
  readonly virtualSizeBytes?: number
  readonly compressionType?: number
  /** L1 entries; the tables are yours to place. @default one, of an L2 table in cluster 4 */
  readonly l1?: readonly bigint[]
  /** L2 entries of the table in cluster 4. */
  readonly l2?: readonly bigint[]
  /** Clusters from 5 on. */
  readonly data?: readonly Uint8Array[]
  /** Bytes laid over the finished image. */
  readonly patches?: readonly { readonly offset: number; readonly bytes: Uint8Array }[]
}

/** A qcow2 image by hand: header, refcount table, refcount block, L1 and one L2 table in the clusters 0 to 4. */
export function buildImage(parts: ImageParts = {}): Uint8Array {
  const clusterBits = parts.clusterBits ?? 9
  const clusterSize = 2 ** clusterBits
  const l1 = parts.l1 ?? [BigInt(4 * clusterSize)]
  const data = parts.data ?? []
  const bytes = new Uint8Array((5 + data.length) * clusterSize)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x514649fb)
  view.setUint32(4, parts.version ?? 3)
  view.setUint32(20, clusterBits)
  view.setBigUint64(24, BigInt(parts.virtualSizeBytes ?? (clusterSize / 8) * clusterSize))
  view.setUint32(36, l1.length)
  view.setBigUint64(40, BigInt(3 * clusterSize))
  view.setBigUint64(48, BigInt(clusterSize))
  view.setUint32(56, 1)
  if (parts.version !== 2) {
    view.setUint32(96, 4)
    view.setUint32(100, 112)
    if (parts.compressionType !== undefined) {
      view.setBigUint64(72, 8n)
      view.setUint8(104, parts.compressionType)
    }
  }
  view.setBigUint64(clusterSize, BigInt(2 * clusterSize))
  for (const [index, entry] of l1.entries()) view.setBigUint64(3 * clusterSize + index * 8, entry)
  for (const [index, entry] of (parts.l2 ?? []).entries()) {
    view.setBigUint64(4 * clusterSize + index * 8, entry)
  }
  for (const [index, cluster] of data.entries()) bytes.set(cluster, (5 + index) * clusterSize)
  for (const patch of parts.patches ?? []) bytes.set(patch.bytes, patch.offset)
  return bytes
}

/** The L2 entry of compressed data. */
export function compressedEntry(offset: number, length: number, clusterBits: number): bigint {
  const furtherSectors = Math.floor((offset + length - 1) / 512) - Math.floor(offset / 512)
  return (1n << 62n) | (BigInt(furtherSectors) << BigInt(70 - clusterBits)) | BigInt(offset)
}

/** A whole file in memory. */
export function readerOf(bytes: Uint8Array): {
  readonly size: number
  read(offset: number, length: number): Promise<Uint8Array>
} {
  const read = (offset: number, length: number): Promise<Uint8Array> =>
    Promise.resolve(bytes.slice(offset, offset + length))
  return { size: bytes.byteLength, read }
}
