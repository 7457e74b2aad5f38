import type { Qcow2Layout } from './layout.ts'
import { refuse } from './qcow2-decode-error.ts'

/** What an L2 entry says of one guest cluster. */
export interface ClusterEntry {
  /** `zero` reads as zero, whether or not a host cluster is kept for it. */
  readonly kind: 'unallocated' | 'zero' | 'plain' | 'compressed'
  /** Where its host cluster or compressed data begins; 0: it has none. */
  readonly hostOffset: number
  /** Host bytes that belong to it. */
  readonly hostLength: number
}

const unallocated: ClusterEntry = Object.freeze({ kind: 'unallocated', hostOffset: 0, hostLength: 0 })
const zero: ClusterEntry = Object.freeze({ kind: 'zero', hostOffset: 0, hostLength: 0 })

const compressedFlag = 0x40000000
const copiedFlag = 0x80000000
const upperOffset = 0x00ffffff
const upperReserved = 0x3f000000
const lowerReserved = 0x000001fe
const zeroFlag = 1

/**
 * Reads one standard L2 entry, as two big-endian halves.
 *
 * @param place where the entry lies in the file, for the error
 * @throws {Qcow2DecodeError} on reserved bits, misaligned clusters, offsets beyond 2^53
 */
export function parseL2Entry(upper: number, lower: number, layout: Qcow2Layout, place: number): ClusterEntry {
  if (upper === 0 && lower === 0) return unallocated
  if ((upper & compressedFlag) !== 0) return parseCompressed(upper, lower, layout, place)
  const reserved = layout.version === 2 ? lowerReserved | zeroFlag : lowerReserved
  if ((upper & upperReserved) !== 0 || (lower & reserved) !== 0) {
    refuse('qcow2-entry-reserved-bits', 'an L2 entry has reserved bits set', place)
  }
  const isZero = (lower & zeroFlag) !== 0
  const hostOffset = (upper & upperOffset) * 2 ** 32 + (isZero ? lower - zeroFlag : lower)
  if (hostOffset === 0) {
    if ((upper & copiedFlag) !== 0) refuse('qcow2-entry-reserved-bits', 'an empty L2 entry has a flag', place)
    return zero
  }
  if (hostOffset > Number.MAX_SAFE_INTEGER - layout.clusterSize) {
    refuse('qcow2-cluster-outside-file', 'a cluster lies outside the file', place)
  }
  if (hostOffset % layout.clusterSize !== 0) {
    refuse('qcow2-entry-misaligned', 'a cluster is not on a cluster boundary', place)
  }
  return { kind: isZero ? 'zero' : 'plain', hostOffset, hostLength: layout.clusterSize }
}

/** Bits 0 to x-1 are the byte offset, x to 61 the further sectors, x being 70 less the cluster bits. */
function parseCompressed(upper: number, lower: number, layout: Qcow2Layout, place: number): ClusterEntry {
  if ((upper & copiedFlag) !== 0) {
    refuse('qcow2-entry-reserved-bits', 'a compressed L2 entry has the flag of a plain one', place)
  }
  const descriptor = (BigInt(upper & 0x3fffffff) << 32n) | BigInt(lower)
  const offsetBits = BigInt(70 - layout.clusterBits)
  const offset = descriptor & ((1n << offsetBits) - 1n)
  if (offset > BigInt(Number.MAX_SAFE_INTEGER - 2 ** 24)) {
    refuse('qcow2-cluster-outside-file', 'compressed data lies outside the file', place)
  }
  const hostOffset = Number(offset)
  const furtherSectors = Number(descriptor >> offsetBits)
  return {
    kind: 'compressed',
    hostOffset,
    hostLength: (furtherSectors + 1) * 512 - (hostOffset % 512),
  }
}
