import { printable } from '../printable.ts'
import type { Report } from '../report.ts'

/** Longest descriptor text, as in every reader of the format. */
export const longestDescriptor: number = 1024 ** 2 - 1

const acceptedTypes: ReadonlySet<string> = new Set(['monolithicsparse', 'streamoptimized'])
const extentLine = /^(RW|RDONLY|NOACCESS) (\d{1,19}) ([A-Z]+)(?: "([^"]*)"(?: (\d{1,19}))?(?: \S+){0,2})?$/
const settingLine = /^[A-Za-z][\w.:-]*[ \t]*=[ \t]*(.*)$/
const pathSetting = /^(changeTrackPath|digestFilename|nativeParentHint)[ \t]*=/i

/** What a descriptor says. */
export interface VmdkDescriptor {
  readonly createType: string | undefined
  readonly extents: readonly VmdkExtent[]
}

/** One line of the extent description. */
export interface VmdkExtent {
  readonly access: string
  readonly sectors: bigint
  readonly type: string
  readonly name: string | undefined
  readonly offset: number
}

/**
 * Reads a descriptor strictly: whatever is not of a known form is refused, because another reader might
 * take it for something.
 *
 * @param text Latin-1, up to the first NUL
 * @param start offset of the text in the image
 * @see https://github.com/libyal/libvmdk (documentation of the format)
 */
export function readDescriptor(text: string, start: number, report: Report): VmdkDescriptor {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    report.fail('descriptor', { reason, offset, found: printable(found), accepted })
  const extents: VmdkExtent[] = []
  let at = start
  for (const whole of text.split('\n')) {
    const offset = at
    at += whole.length + 1
    const line = whole.replace(/[ \t\r]+$/, '').replace(/^[ \t]+/, '')
    const extent = extentLine.exec(line)
    if (extent !== null) {
      const [, access = '', sectors = '0', type = '', name] = extent
      if (extents.length < 1000) extents.push({ access, sectors: BigInt(sectors), type, name, offset })
      checkExtentName(name, offset, report)
      continue
    }
    if (!isPlainText(line)) {
      wrong('The descriptor has characters that it may not have', offset, line, 'ASCII')
    } else if (line !== '' && !line.startsWith('#') && !settingLine.test(line)) {
      wrong('The descriptor has a line that is not understood', offset, line, 'settings and extents')
    } else if (pathSetting.test(line) && /[/\\]/.test(line)) {
      wrong('The descriptor names a file by a path', offset, line, 'no path')
    }
  }
  if (extents.length === 0) wrong('The descriptor has no extents', start, 'no line for an extent', 'one')
  checkParent(text, start, report)
  return { createType: readCreateType(text, start, report), extents }
}

/** Refuses every create type whose data is in other files, and every spelling that readers disagree about. */
function readCreateType(text: string, start: number, report: Report): string | undefined {
  const wrong = (reason: string, offset: number, found: string): void =>
    report.fail('create-type', {
      reason,
      offset: start + offset,
      found: printable(found),
      accepted: 'createType="monolithicSparse" or createType="streamOptimized", once',
      reference: 'CVE-2022-47951',
    })
  const places = [...text.matchAll(/createtype/gi)]
  const first = places[0]
  if (first === undefined) {
    wrong('The descriptor has no createType', 0, 'none')
    return undefined
  }
  const line = /^createType[ \t]*=[ \t]*"([^"\n]*)"[ \t\r]*$/m.exec(text)
  if (places.length > 1)
    wrong('The descriptor speaks of createType more than once', first.index, `${places.length} times`)
  if (line === null) {
    const found = text.slice(first.index, first.index + 80).split('\n')[0] ?? ''
    wrong('createType is not written as the format has it', first.index, found)
    return undefined
  }
  const value = line[1] ?? ''
  if (value.length >= 64) wrong('createType is too long', line.index, value)
  else if (!acceptedTypes.has(value.toLowerCase())) {
    wrong('This createType keeps its data in other files, or is not known', line.index, value)
  }
  report.details.createType = printable(value)
  return value
}

function checkParent(text: string, start: number, report: Report): void {
  const wrong = (offset: number, found: string): void =>
    report.fail('backing-file', {
      reason: 'The image builds on a parent image, which a tool that opens it opens too',
      offset: start + offset,
      found: printable(found),
      accepted: 'an image without a parent',
      reference: 'CVE-2022-47951',
    })
  const hint = /parentFileNameHint[^"\n]*(?:"([^"\n]*))?/i.exec(text)
  if (hint !== null) {
    report.details.backingFile = printable(hint[1] ?? '')
    wrong(hint.index, hint[0])
    return
  }
  const parent = /^[ \t]*parentCID[ \t]*=[ \t]*([^\r\n]*)/im.exec(text)
  if (parent !== null && !/^f{8}[ \t]*$/i.test(parent[1] ?? '')) wrong(parent.index, parent[0])
}

function checkExtentName(name: string | undefined, offset: number, report: Report): void {
  if (name === undefined) return
  if (/[/\\]/.test(name)) {
    report.fail('extents', {
      reason: 'An extent is named by a path, which can be any file of the host',
      offset,
      found: printable(name),
      accepted: 'the name of the file itself',
      reference: 'CVE-2022-47951',
    })
  } else if (!isFileName(name)) {
    report.fail('descriptor', {
      reason: 'The name of an extent has characters that it may not have',
      offset,
      found: printable(name),
      accepted: 'ASCII or UTF-8',
    })
  }
}

function isPlainText(line: string): boolean {
  return /^[\t\x20-\x7e]*$/.test(line)
}

/** Latin-1 text of bytes that are printable ASCII or well-formed UTF-8. */
function isFileName(name: string): boolean {
  if (/^[\x20-\x7e]*$/.test(name)) return true
  try {
    const bytes = Uint8Array.from(name, (character) => character.charCodeAt(0))
    return !/\p{Cc}/u.test(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return false
  }
}
