import type { Fields } from '../layouts/fields.ts'
import { printable } from '../layouts/printable.ts'
import type { Problems } from '../layouts/problems.ts'
import { descriptorLines } from './vmdk-lines.ts'

/** What stands in no text, whatever its encoding: bytes of other characters are 0x80 and above. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
export const controls: RegExp = /[\x00-\x08\x0a-\x1f\x7f]/

const encodingLine = /^encoding[ \t]*=[ \t]*"?([\w.:-]+)"?$/i
/** It stands behind the title and the version. */
const encodingWithin = 4096

/** Names that VMware has for what browsers and Node.js call otherwise. */
const otherNames: ReadonlyMap<string, string> = new Map([
  ['windows-932', 'shift_jis'],
  ['cp932', 'shift_jis'],
  ['windows-936', 'gbk'],
  ['cp936', 'gbk'],
  ['windows-949', 'euc-kr'],
  ['cp949', 'euc-kr'],
  ['windows-950', 'big5'],
  ['cp950', 'big5'],
])

/** The global one, of Node.js and of browsers. */
type Decoder = InstanceType<typeof TextDecoder>

/** A decoder of the encoding that a descriptor declares; undefined where it declares none, several or an unknown one. */
export function declaredEncoding(fields: Fields, start: number, length: number): Decoder | undefined {
  const labels = new Set<string>()
  for (const { text } of descriptorLines(fields, start, Math.min(length, encodingWithin))) {
    const label = encodingLine.exec(text)?.[1]?.toLowerCase()
    if (label !== undefined) labels.add(otherNames.get(label) ?? label)
  }
  const [label] = labels
  if (label === undefined || labels.size > 1) return undefined
  try {
    const decoder = new TextDecoder(label, { fatal: true })
    // Descriptors are read byte by byte for quotes and line ends, which these encodings put elsewhere.
    return /^(utf-16|iso-2022)/.test(decoder.encoding) ? undefined : decoder
  } catch {
    return undefined
  }
}

/**
 * An extent's name is a file beside the descriptor, never a path.
 *
 * @param name Latin-1, a character for each byte
 */
export function checkExtentName(
  name: string | undefined,
  encoding: Decoder | undefined,
  offset: number,
  problems: Problems,
): void {
  if (name === undefined) return
  // The second byte of a character can be a backslash, but never a slash.
  if (name.includes('/') || decode(name, encoding).includes('\\')) {
    problems.add('extents', {
      reason: 'An extent is named by a path, which can be any file of the host',
      offset,
      found: printable(name),
      accepted: 'the name of the file itself',
      reference: 'CVE-2022-47951',
    })
  } else if (controls.test(name) && !problems.has('descriptor')) {
    problems.add('descriptor', {
      reason: 'The name of an extent has characters that it may not have',
      offset,
      found: printable(name),
      accepted: 'text in the encoding that the descriptor declares',
    })
  }
}

/** The name as its encoding has it, UTF-8 where none is declared; its bytes where they are none of it. */
export function decodeName(name: string, encoding: Decoder | undefined): string {
  return decode(name, encoding ?? new TextDecoder('utf-8', { fatal: true }))
}

/** The name as its encoding has it; its bytes where they are none of it. */
function decode(name: string, encoding: Decoder | undefined): string {
  try {
    return encoding?.decode(Uint8Array.from(name, (character) => character.charCodeAt(0))) ?? name
  } catch {
    return name
  }
}
