import { deflateRawSync } from 'node:zlib'
import { compressedEntry, type ImageParts } from './build-image.ts'

/** Bytes that are all alike. */
export const cluster = (value: number, size = 512): Uint8Array => new Uint8Array(size).fill(value)
const copied = 1n << 63n
/** Entry of the host cluster, of 512 bytes. */
export const at = (index: number): bigint => copied | BigInt(index * 512)

/** Entries of host clusters in a row. */
export const neighbours = (first: number, count: number): bigint[] =>
  Array.from({ length: count }, (_, index) => at(first + index))

/** A good image of each sort of cluster. */
export const mixed: ImageParts = {
  l2: [at(5), 0n, 1n, at(6), at(7) | 1n, compressedEntry(8 * 512 + 10, 12, 9), at(9)],
  data: [cluster(1), cluster(2), cluster(3), packed(10, deflateRawSync(cluster(4))), cluster(5)],
}

/** A cluster with a compressed stream somewhere in it. */
export function packed(offset: number, stream: Uint8Array): Uint8Array {
  const bytes = cluster(0xee)
  bytes.set(stream, offset)
  return bytes
}

const stream = deflateRawSync(cluster(4))
const compressed = (offset: number): bigint => compressedEntry(offset, stream.byteLength, 9)

export type Refusal = readonly [rule: string, parts: ImageParts]

/** Images that are refused, and the rule that refuses them. */
export const refusals: readonly Refusal[] = [
  ['qcow2-corrupt', { patches: [{ offset: 79, bytes: Uint8Array.of(2) }] }],
  ['qcow2-cluster-used-twice', { l2: [at(5), at(5)], data: [cluster(1)] }],
  ['qcow2-entry-reserved-bits', { l2: [at(0)] }],
  ['qcow2-cluster-used-twice', { l2: [compressedEntry(100, 12, 9)] }],
  ['qcow2-cluster-used-twice', { l2: [at(1)] }],
  ['qcow2-cluster-used-twice', { l2: [at(2)] }],
  ['qcow2-cluster-used-twice', { l2: [at(3)] }],
  ['qcow2-cluster-used-twice', { l2: [at(4)] }],
  ['qcow2-cluster-used-twice', { l2: [at(5) | 1n, at(5)], data: [cluster(1)] }],
  ['qcow2-cluster-used-twice', { l2: [compressed(5 * 512), at(5)], data: [packed(0, stream)] }],
  ['qcow2-cluster-used-twice', { l2: [compressed(2560), compressed(2560)], data: [packed(0, stream)] }],
  ['qcow2-cluster-used-twice', { l1: [at(4), at(4)], virtualSizeBytes: 65_536 }],
  ['qcow2-cluster-used-twice', { l1: [at(3)] }],
  ['qcow2-cluster-used-twice', { l1: [at(1)] }],
  ['qcow2-cluster-outside-file', { l2: [at(5)] }],
  ['qcow2-cluster-outside-file', { l2: [at(5) | 1n] }],
  ['qcow2-cluster-outside-file', { l2: [compressed(5 * 512)] }],
  ['qcow2-cluster-outside-file', { l2: [compressed(6 * 512 - 2)], data: [cluster(0)] }],
  ['qcow2-table-outside-file', { l1: [at(5)] }],
  ['qcow2-entry-misaligned', { clusterBits: 12, l2: [512n] }],
  ['qcow2-entry-reserved-bits', { l2: [2n] }],
  ['qcow2-compressed-data', { l2: [compressed(5 * 512)], data: [cluster(0xff)] }],
  ['qcow2-compressed-data', { l2: [compressed(2560)], data: [packed(0, deflateRawSync(cluster(4, 511)))] }],
  ['qcow2-compressed-data', { l2: [compressed(2560)], data: [packed(0, deflateRawSync(cluster(4, 513)))] }],
  ['qcow2-beyond-virtual-size', { l2: [0n, at(5)], virtualSizeBytes: 512, data: [cluster(1)] }],
  ['qcow2-beyond-virtual-size', { l1: [at(4), at(5)], data: [cluster(0)] }],
  ['qcow2-refcount-table', { patches: [{ offset: 1023, bytes: Uint8Array.of(1) }] }],
  ['qcow2-table-outside-file', { patches: [{ offset: 1021, bytes: Uint8Array.of(1) }] }],
]

/** Number of the first cluster that {@link farData} places: all before it is read before a stream is divided. */
export const far = 130

/** Data of an image of which something comes late: clusters 5 to 129 are zero, then come these. */
export function farData(clusters: readonly Uint8Array[]): Uint8Array[] {
  return [...Array.from({ length: far - 5 }, () => cluster(0)), ...clusters]
}

/** A cluster that is an L2 table. */
export function tableOf(entries: readonly bigint[]): Uint8Array {
  const bytes = cluster(0)
  const view = new DataView(bytes.buffer)
  for (const [index, entry] of entries.entries()) view.setBigUint64(index * 8, entry)
  return bytes
}

/** Clusters whose bytes are all different from their neighbours'. */
export function distinct(count: number, size = 512): Uint8Array[] {
  return Array.from({ length: count }, (_, index) =>
    cluster(0, size).map((_value, place) => 1 + ((index * 31 + place * 7) % 251)),
  )
}
