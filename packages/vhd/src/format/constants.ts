/** Bytes of a sector, everywhere in the format. */
export const sectorBytes = 512
/** Bytes of a footer. */
export const footerBytes = 512
/** Bytes of a dynamic disk's header. */
export const headerBytes = 1024
/** Bytes of a block where nothing else is asked for. */
export const defaultBlockBytes: number = 2 * 1024 ** 2
/** A BAT entry of a block that is not there. */
export const unallocated = 0xff_ff_ff_ff
/** The largest disk: 2040 GiB, the largest that every implementation takes. */
export const maximumDiskBytes: number = 2040 * 1024 ** 3
/** The most BAT entries that are read: 2040 GiB in blocks of 256 KiB; 32 MiB of memory. */
export const maximumBlocks: number = 2 ** 23
/** 2000-01-01 UTC, the format's epoch, in seconds since 1970. */
export const epochSeconds = 946_684_800
/** The uuid of nobody. */
export const zeroUuid = '00000000-0000-0000-0000-000000000000'

/** `value` rounded up to a whole number of `unit`s. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}
