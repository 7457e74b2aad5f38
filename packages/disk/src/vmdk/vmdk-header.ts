import type { Fields } from '../layouts/fields.ts'

/** The fields of a VMDK sparse extent's header; sectors of 512 bytes. */
export interface VmdkHeader {
  readonly magic: string
  readonly version: number
  readonly flags: number
  readonly capacity: bigint
  readonly grainSize: bigint
  readonly descriptorOffset: bigint
  readonly descriptorSize: bigint
  readonly tableEntries: number
  readonly redundantDirectory: bigint
  readonly directory: bigint
  readonly overhead: bigint
  readonly unclean: boolean
  readonly compression: number
}

/** A grain directory that is at the end, where the footer says. */
export const atEndMark: bigint = 0xffffffffffffffffn

/** @see VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents" */
export function parseVmdkHeader(fields: Fields): VmdkHeader {
  return {
    magic: fields.text(0, 4),
    version: fields.u32le(4),
    flags: fields.u32le(8),
    capacity: fields.u64le(12),
    grainSize: fields.u64le(20),
    descriptorOffset: fields.u64le(28),
    descriptorSize: fields.u64le(36),
    tableEntries: fields.u32le(44),
    redundantDirectory: fields.u64le(48),
    directory: fields.u64le(56),
    overhead: fields.u64le(64),
    unclean: fields.u8(72) !== 0,
    compression: fields.u16le(77),
  }
}
