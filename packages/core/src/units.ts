/** Bytes in a KiB. */
export const KiB = 1024
/** Bytes in a MiB. */
export const MiB: number = 1024 ** 2
/** Bytes in a GiB. */
export const GiB: number = 1024 ** 3

/** Bytes for a person: `1.5 GiB`, `512 B`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 || Number.isInteger(value) ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[power]}`
}
