import { type Qcow2Layout, usedL1Entries } from './layout.ts'
import { refuse } from './qcow2-decode-error.ts'

/** Bits 9–55 of the upper half of an entry; 63 says only whether the table is shared. */
const upperOffset = 0x00ffffff
const upperReserved = 0x7f000000
const lowerReserved = 0x000001ff

/**
 * Offsets of the active L2 tables, 0 where there is none.
 *
 * @throws {Qcow2DecodeError} on reserved bits, misplaced tables, and entries behind the virtual size
 */
export function parseL1Table(bytes: Uint8Array, layout: Qcow2Layout): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const usedEntries = usedL1Entries(layout)
  const offsets = new Float64Array(usedEntries)
  for (let index = 0; index < layout.l1Entries; index += 1) {
    const upper = view.getUint32(index * 8)
    const lower = view.getUint32(index * 8 + 4)
    const place = Number(layout.l1Offset) + index * 8
    if ((upper & upperReserved) !== 0 || (lower & lowerReserved) !== 0) {
      refuse('qcow2-entry-reserved-bits', 'an L1 entry has reserved bits set', place)
    }
    const offset = (upper & upperOffset) * 2 ** 32 + lower
    if (offset === 0) {
      if (upper !== 0) refuse('qcow2-entry-reserved-bits', 'an empty L1 entry has a flag', place)
      continue
    }
    if (index >= usedEntries) {
      refuse('qcow2-beyond-virtual-size', 'an L1 entry lies behind the virtual size', place)
    }
    if (offset > Number.MAX_SAFE_INTEGER - layout.clusterSize) {
      refuse('qcow2-table-outside-file', 'an L2 table lies outside the file', place)
    }
    if (offset % layout.clusterSize !== 0) {
      refuse('qcow2-entry-misaligned', 'an L2 table is not on a cluster boundary', place)
    }
    offsets[index] = offset
  }
  return offsets
}
