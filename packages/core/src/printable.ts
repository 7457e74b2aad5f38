/**
 * What a terminal obeys, what turns the direction of text round, and what can't be seen: controls (C0, C1, DEL),
 * format characters, line and paragraph separators, halves of characters. Selectors of emoji stay.
 */
const unprintable = /(?![\ufe00-\ufe0f])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

/** All but what ASCII can show. */
const beyondAscii = /[^\u0020-\u007e]/gu

/**
 * Text from outside as it may be shown or logged: an image's name or a service's message can't move the cursor,
 * change colours or hide what follows. What is not printable becomes `\xNN`, `\uNNNN` or `\u{N…}`.
 *
 * @param longest characters; the rest is cut off and an ellipsis put there. @default no limit
 */
export function printable(text: string, longest: number = Number.POSITIVE_INFINITY): string {
  return shown(text, longest, unprintable)
}

/** The same for bytes of an image, of which nobody knows the encoding: everything but ASCII is escaped. */
export function printableAscii(text: string, longest: number): string {
  return shown(text, longest, beyondAscii)
}

function shown(text: string, longest: number, escaped: RegExp): string {
  const isShort = text.length <= longest
  const result = (isShort ? text : text.slice(0, longest + 1)).replaceAll(escaped, (character) => {
    const code = character.codePointAt(0) ?? 0
    const digits = code.toString(16)
    if (code < 0x100) return `\\x${digits.padStart(2, '0')}`
    return code < 0x10000 ? `\\u${digits.padStart(4, '0')}` : `\\u{${digits}}`
  })
  return result.length > longest ? `${result.slice(0, longest)}…` : result
}

/** The same for a text of several lines, which stay lines. */
export function printableLines(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line))
    .join('\n')
}

/** A value as JSON that may be shown: what is not printable stands there as `\uNNNN`, and means the same. */
export function printableJson(value: unknown, indent?: number): string {
  // Line ends and indents are those of JSON itself: inside of texts they are escaped already.
  return (JSON.stringify(value, undefined, indent) ?? 'null').replaceAll(unprintable, (character) =>
    character === '\n'
      ? character
      : character
          .split('')
          .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
          .join(''),
  )
}

const masked = '***'

/** `name=value` pairs whose value is a secret, wherever they stand in an option list. */
const secretPair =
  /\b((?:pass(?:word|phrase|wd)?|secret-?key|token|auth[-_]?token|signature|sig)=)([^,&\s]+)/gi
/** The body of an inline `secret` object; `file=` is only a name and stays readable. */
const secretObject = /(\bsecret,(?:[^\s]*,)?data=)((?:[^,\s]|,,)+)/gi
const urlUser = /(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s@]+@/gi
const urlQuery = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s?]+\?)[^\s]+/gi

/** Masks what looks like a password, a token, or a signed URL. For logs and error messages. */
export function redact(text: string): string {
  return text
    .replace(secretObject, `$1${masked}`)
    .replace(secretPair, `$1${masked}`)
    .replace(urlUser, `$1${masked}@`)
    .replace(urlQuery, `$1${masked}`)
}
