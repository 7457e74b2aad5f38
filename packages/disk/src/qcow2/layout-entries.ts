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
