import { formatBytes } from '@disk-image/core'

/** 1048576 as `1.00 MiB (1 048 576 bytes)`. */
export function describeSize(bytes: number): string {
  const exact = `${groupDigits(bytes)} ${bytes === 1 ? 'byte' : 'bytes'}`
  return bytes < 1024 ? exact : `${formatBytes(bytes)} (${exact})`
}

/** 1048576 as `1 048 576`, with narrow spaces that don't break. */
export function groupDigits(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, '\u202f')
}

/** 512 as `0x200`. */
export function hexadecimal(value: number): string {
  return `0x${value.toString(16)}`
}

/** A part as a percentage that never says 0 for something, or 100 for less than all. */
export function describePart(part: number, whole: number): string {
  if (whole === 0) return '0 %'
  const percent = (100 * part) / whole
  if (percent > 0 && percent < 0.01) return 'less than 0.01 %'
  if (percent < 100 && percent > 99.99) return 'more than 99.99 %'
  return `${percent.toFixed(percent >= 10 || percent === 0 ? 0 : 2)} %`
}

/** `backingFileFormat` as `backing file format`, `extendedL2` as `extended L2`. */
export function wordsOf(name: string): string {
  return name
    .replace(/Bytes$/, '')
    .replaceAll(/([A-Z][a-z])/g, (word) => ` ${word.toLowerCase()}`)
    .replaceAll(/([a-z])([A-Z]\d)/g, '$1 $2')
}
