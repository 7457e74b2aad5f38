/** Longest piece of an image that is ever shown in a result. */
const longest = 120

/**
 * Text out of an image as it may be shown: one line, control characters and what is not ASCII as `\xNN`
 * or `\u{…}`, cut at 120 characters.
 */
export function printable(text: string): string {
  let result = ''
  for (const character of text.slice(0, longest + 1)) {
    const code = character.codePointAt(0) ?? 0
    if (code >= 0x20 && code < 0x7f) result += character
    else if (code < 0x100) result += `\\x${code.toString(16).padStart(2, '0')}`
    else result += `\\u{${code.toString(16)}}`
  }
  return result.length > longest ? `${result.slice(0, longest)}…` : result
}

/** A number in hexadecimal, as offsets and magics are written. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`
}
