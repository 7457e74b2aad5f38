import { InvalidError } from './errors/invalid-error.ts'

/** Bytes in a KiB. */
export const KiB = 1024
/** Bytes in a MiB. */
export const MiB: number = 1024 ** 2
/** Bytes in a GiB. */
export const GiB: number = 1024 ** 3

/**
 * A header's 64-bit value as a number of bytes.
 *
 * @throws {InvalidError} where the value is beyond 2^53 - 1, and so beyond any disk
 */
export function toSafeNumber(value: bigint, name: string): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new InvalidError({ reason: `${name} is ${value}, which is not a size that a disk can have` })
  }
  return Number(value)
}

/** Bytes for a person: `1.5 GiB`, `512 B`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 || Number.isInteger(value) ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[power]}`
}
