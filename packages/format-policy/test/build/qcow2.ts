import { Bytes, noise } from './bytes.ts'

/** Fields of {@link buildQcow2}; everything else makes a valid image with one data cluster. */
export interface Qcow2Recipe {
  readonly version?: number
  readonly size?: bigint
  readonly clusterBits?: number
  readonly backingFile?: string
  readonly backingOffset?: bigint
  readonly incompatible?: bigint
  readonly l1Size?: number
  readonly l1Offset?: bigint
  readonly refcountClusters?: number
  readonly snapshots?: number
  readonly snapshotsOffset?: bigint
  readonly cryptMethod?: number
  readonly headerLength?: number
  readonly compressionType?: number
  readonly extensions?: readonly (readonly [type: number, data: string])[]
  /** Entries of the L2 table, after the first one's place. */
  readonly l2?: readonly bigint[]
  /** Cut or pad to this length. */
  readonly length?: number
}

const cluster = 65536

/** A small qcow2 image: header, reference counts, L1, L2 and one cluster of data. */
export function buildQcow2(recipe: Qcow2Recipe = {}): Uint8Array {
  const { version = 3, backingFile } = recipe
  const headerLength = recipe.headerLength ?? (version < 3 ? 72 : 112)
  const image = new Bytes(6 * cluster)
  let at = headerLength
  for (const [type, data] of recipe.extensions ?? []) {
    image
      .be(at, type, 4)
      .be(at + 4, data.length, 4)
      .put(at + 8, data)
    at += 8 + Math.ceil(data.length / 8) * 8
  }
  at += 8
  const backingOffset = recipe.backingOffset ?? (backingFile === undefined ? 0n : BigInt(at))
  if (backingFile !== undefined) image.put(at, backingFile)
  image
    .put(0, 'QFI\xfb')
    .be(4, version, 4)
    .be(8, backingOffset, 8)
    .be(16, backingFile?.length ?? 0, 4)
  image.be(20, recipe.clusterBits ?? 16, 4).be(24, recipe.size ?? 1048576n, 8)
  image.be(32, recipe.cryptMethod ?? 0, 4).be(36, recipe.l1Size ?? 1, 4)
  image.be(40, recipe.l1Offset ?? BigInt(3 * cluster), 8).be(48, cluster, 8)
  image.be(56, recipe.refcountClusters ?? 1, 4).be(60, recipe.snapshots ?? 0, 4)
  image.be(64, recipe.snapshotsOffset ?? 0n, 8)
  if (version >= 3) {
    image
      .be(72, recipe.incompatible ?? 0n, 8)
      .be(96, 4, 4)
      .be(100, headerLength, 4)
    if (headerLength > 104) image.be(104, recipe.compressionType ?? 0, 1)
  }
  image.be(cluster, 2 * cluster, 8)
  for (let index = 0; index < 6; index += 1) image.be(2 * cluster + 2 * index, 1, 2)
  image.be(3 * cluster, (1n << 63n) | BigInt(4 * cluster), 8)
  const entries = recipe.l2 ?? [(1n << 63n) | BigInt(5 * cluster)]
  for (const [index, entry] of entries.entries()) image.be(4 * cluster + 8 * index, entry, 8)
  image.put(5 * cluster, noise(4096))
  const bytes = image.end()
  if (recipe.length === undefined) return bytes
  return new Bytes(recipe.length).put(0, bytes.subarray(0, recipe.length)).end()
}
