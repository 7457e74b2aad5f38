import { sectorBytes } from './footer.ts'

/** Receives the extents of a range: with a file offset where this disk has the data, without where it has none. */
export type ExtentVisitor = (start: number, end: number, fileOffset: number | undefined) => void

/** Whether the sector's bit is set; the highest bit of a byte is its first sector. */
export function hasSector(bitmap: Uint8Array, sector: number): boolean {
  return ((bitmap[sector >> 3] as number) & (0x80 >> (sector & 7))) !== 0
}

/** The first sector from `sector` on whose bit differs from `value`, at most `end`. */
function nextChange(bitmap: Uint8Array, sector: number, end: number, value: boolean): number {
  const whole = value ? 0xff : 0
  let at = sector
  while (at < end) {
    if ((at & 7) === 0 && at + 8 <= end && bitmap[at >> 3] === whole) at += 8
    else if (hasSector(bitmap, at) === value) at += 1
    else return at
  }
  return end
}

/**
 * Cuts a range of one block into extents of written and unwritten sectors.
 *
 * @param start byte of the disk, inside the block; so is `end`
 * @param blockStart byte of the disk at which the block starts
 * @param dataOffset byte of the file at which the block's data starts
 */
export function cutExtents(
  bitmap: Uint8Array,
  start: number,
  end: number,
  blockStart: number,
  dataOffset: number,
  visitor: ExtentVisitor,
): void {
  const last = Math.ceil((end - blockStart) / sectorBytes)
  let sector = Math.floor((start - blockStart) / sectorBytes)
  while (sector < last) {
    const value = hasSector(bitmap, sector)
    const next = nextChange(bitmap, sector, last, value)
    // A disk may end, and so may a range, inside a sector.
    const from = Math.max(start, blockStart + sector * sectorBytes)
    const to = Math.min(end, blockStart + next * sectorBytes)
    visitor(from, to, value ? dataOffset + (from - blockStart) : undefined)
    sector = next
  }
}

/** Sets the bits of the sectors that a range of the block touches. */
export function markSectors(bitmap: Uint8Array, start: number, end: number): void {
  const last = Math.ceil(end / sectorBytes)
  for (let sector = Math.floor(start / sectorBytes); sector < last;) {
    if ((sector & 7) === 0 && sector + 8 <= last) {
      bitmap[sector >> 3] = 0xff
      sector += 8
    } else {
      bitmap[sector >> 3] = (bitmap[sector >> 3] as number) | (0x80 >> (sector & 7))
      sector += 1
    }
  }
}

/** Whether all of the first `sectors` bits are set. */
export function isFull(bitmap: Uint8Array, sectors: number): boolean {
  return nextChange(bitmap, 0, sectors, true) === sectors
}
