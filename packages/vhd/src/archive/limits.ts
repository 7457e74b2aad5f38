import { GiB, InvalidError, MiB } from '@disk-image/core'
import { maximumDiskBytes } from '@disk-image/disk/vhd'

/** Limits of what an archive may unpack to. */
export interface ArchiveLimits {
  /** Bytes that all members together may have. @default what the target's file system has free */
  readonly maxBytes?: number | undefined
  /** Bytes that the disk in the archive may have. @default 2040 GiB */
  readonly maxVirtualSizeBytes?: number | undefined
  /** Entries that the archive may have, those that are skipped included. @default 64 */
  readonly maxMembers?: number | undefined
  /**
   * How many times its own size an archive may unpack to, once it is beyond 1 GiB. Nothing but zeros comes
   * to 1030. @default 1000
   */
  readonly maxCompressionRatio?: number | undefined
}

/** The same, complete. */
export interface ResolvedLimits {
  readonly maxBytes: number
  readonly maxVirtualSizeBytes: number
  readonly maxMembers: number
  readonly maxCompressionRatio: number
}

/** Below this many bytes nobody asks for the ratio. */
export const ratioFloorBytes: number = GiB

/**
 * Puts the defaults in.
 *
 * @throws {InvalidError} where a limit is no positive number
 */
export function resolveLimits(limits: ArchiveLimits, freeBytes: number): ResolvedLimits {
  const resolved = {
    maxBytes: Math.min(limits.maxBytes ?? Infinity, freeBytes),
    maxVirtualSizeBytes: limits.maxVirtualSizeBytes ?? maximumDiskBytes,
    maxMembers: limits.maxMembers ?? 64,
    maxCompressionRatio: limits.maxCompressionRatio ?? 1000,
  }
  for (const name of ['maxBytes', 'maxVirtualSizeBytes', 'maxMembers', 'maxCompressionRatio'] as const) {
    const value = limits[name]
    if (value !== undefined && !(value > 0)) {
      throw new InvalidError({ reason: `${name} is ${value}; a number greater than 0 is right` })
    }
  }
  return resolved
}

/** The most bytes that a file with a disk of so many bytes can need, dead space of moved blocks included. */
export function largestFile(diskBytes: number): number {
  return 2 * diskBytes + 16 * MiB
}
