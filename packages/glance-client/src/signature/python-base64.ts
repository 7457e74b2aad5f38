const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/**
 * Base64 as the signing tools' Python reads it: characters outside the alphabet are skipped (also `-` and `_`), data
 * ends at complete padding, and missing padding is an error. Node's own decoder takes more, and would accept
 * signatures that the others refuse.
 *
 * @throws {SyntaxError}
 * @see binascii.a2b_base64
 */
export function decodePythonBase64(text: string): Buffer {
  let digits = ''
  let pads = 0
  for (const character of text) {
    if (character.charCodeAt(0) > 127) throw new SyntaxError('The text is not ASCII')
    if (character === '=') {
      const position = digits.length % 4
      pads += position >= 2 ? 1 : 0
      if (position >= 2 && position + pads >= 4) return Buffer.from(digits, 'base64')
    } else if (alphabet.includes(character)) {
      digits += character
      pads = 0
    }
  }
  if (digits.length % 4 !== 0) throw new SyntaxError('The padding is incorrect')
  return Buffer.from(digits, 'base64')
}
