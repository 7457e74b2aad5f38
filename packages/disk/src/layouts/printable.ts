import { printableAscii } from '@disk-image/core'

/** Longest piece of an image that is ever shown in a result. */
const longest = 120

/** Text out of an image as it may be shown: see `printableAscii` of core; cut at 120 characters. */
export function printable(text: string): string {
  return printableAscii(text, longest)
}

/** A number in hexadecimal, as offsets and magics are written. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`
}
