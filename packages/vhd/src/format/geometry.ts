import { sectorBytes } from './constants.ts'

/** Cylinders, heads and sectors per track. It says nothing of the size: `currentSizeBytes` does. */
export interface DiskGeometry {
  readonly cylinders: number
  readonly heads: number
  readonly sectorsPerTrack: number
}

/**
 * The geometry that belongs to a size.
 *
 * @see Virtual Hard Disk Image Format Specification 1.0, "CHS Calculation"
 */
export function geometryOf(sizeBytes: number): DiskGeometry {
  const sectors = Math.min(Math.ceil(sizeBytes / sectorBytes), 65_535 * 16 * 255)
  const shape = (sectorsPerTrack: number, heads: number): DiskGeometry => ({
    cylinders: Math.floor(Math.floor(sectors / sectorsPerTrack) / heads),
    heads,
    sectorsPerTrack,
  })
  if (sectors >= 65_535 * 16 * 63) return shape(255, 16)
  const tracks = Math.floor(sectors / 17)
  const heads = Math.max(4, Math.ceil(tracks / 1024))
  if (heads <= 16 && tracks < heads * 1024) return shape(17, heads)
  return Math.floor(sectors / 31) < 16 * 1024 ? shape(31, 16) : shape(63, 16)
}

/** What the geometry multiplies out to, which is less than or equal to the size. */
export function geometryBytes({ cylinders, heads, sectorsPerTrack }: DiskGeometry): number {
  return cylinders * heads * sectorsPerTrack * sectorBytes
}
