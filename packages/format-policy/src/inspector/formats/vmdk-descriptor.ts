import { type Fields, printable } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { checkExtentName, controls, declaredEncoding } from './vmdk-names.ts'
import { type DescriptorLine, descriptorLines } from './vmdk-lines.ts'

/** Longest descriptor text, as in every reader of the format. */
export const longestDescriptor: number = 1024 ** 2 - 1

const acceptedTypes: ReadonlySet<string> = new Set(['monolithicsparse', 'streamoptimized'])
const extentLine =
  /^(RW|RDONLY|NOACCESS)[ \t]+(\d{1,19})[ \t]+([A-Z]+)(?:[ \t]+"([^"]*)"(?:[ \t]+(\d{1,19}))?(?:[ \t]+\S+){0,2})?$/i
const settingLine = /^[A-Za-z][\w.:-]*[ \t]*=[ \t]*(.*)$/
const typeLine = /^createType[ \t]*=[ \t]*"([^"]*)"$/
const parentLine = /^parentCID[ \t]*=[ \t]*(.*)$/i
const hintLine = /parentFileNameHint[^"]*"?([^"]*)/i
const pathSetting = /^(changeTrackPath|digestFilename|nativeParentHint)[ \t]*=/i
const encryptionSetting = /^(encryption|encryptedVM|ddb\.encrypt)[\w.]*[ \t]*=/i
const keptExtents = 10

/** What a descriptor says. */
export interface VmdkDescriptor {
  readonly createType: string | undefined
  readonly extentCount: number
  readonly sectors: bigint
  /** The first extents, at most ten. */
  readonly extents: readonly VmdkExtent[]
}

/** One line of the extent description. */
export interface VmdkExtent {
  readonly access: string
  readonly type: string
  /** Printable. */
  readonly name: string | undefined
  readonly offset: number
}

/**
 * Reads a descriptor strictly: whatever is not of a known form is refused, because another reader might
 * take it for something. It ends at the first NUL.
 *
 * @see https://github.com/libyal/libvmdk (documentation of the format)
 */
export function readDescriptor(
  fields: Fields,
  start: number,
  length: number,
  report: Report,
): VmdkDescriptor {
  const encoding = declaredEncoding(fields, start, length)
  const types = new CreateType(start, report)
  const extents: VmdkExtent[] = []
  const identities = new ContentIdentities(start, report)
  let extentCount = 0
  let sectors = 0n
  for (const line of descriptorLines(fields, start, length)) {
    types.look(line)
    identities.look(line)
    lookForParent(line, report)
    const extent = line.tooLong ? null : extentLine.exec(line.text)
    if (extent === null) {
      checkPlainLine(line, report)
      continue
    }
    const [, access = '', count = '0', type = '', name] = extent
    extentCount += 1
    sectors += BigInt(count)
    checkExtentName(name, encoding, line.offset, report)
    if (extents.length < keptExtents) {
      extents.push({
        access: access.toUpperCase(),
        type: type.toUpperCase(),
        name: name === undefined ? undefined : printable(name),
        offset: line.offset,
      })
    }
  }
  if (extentCount === 0) wrongLine(report, 'The descriptor has no extents', start, 'none', 'an extent')
  identities.end()
  return { createType: types.end(), extentCount, sectors, extents }
}

function wrongLine(report: Report, reason: string, offset: number, found: string, accepted: string): void {
  if (report.hasFailed('descriptor')) return
  report.fail('descriptor', { reason, offset, found: printable(found), accepted })
}

function checkPlainLine({ text, offset, tooLong }: DescriptorLine, report: Report): void {
  if (tooLong) {
    wrongLine(report, 'The descriptor has a line that is too long', offset, text, '4096 characters')
  } else if (controls.test(text)) {
    wrongLine(report, 'The descriptor has characters that it may not have', offset, text, 'text')
  } else if (text !== '' && !text.startsWith('#') && !settingLine.test(text)) {
    wrongLine(
      report,
      'The descriptor has a line that is not understood',
      offset,
      text,
      'settings and extents',
    )
  } else if (encryptionSetting.test(text)) {
    report.details.encryption = 'vmware'
    report.fail('encryption', {
      reason: 'The disk is encrypted by VMware, which only VMware opens',
      offset,
      found: printable(text),
      accepted: 'a disk that VMware has decrypted',
    })
  } else if (pathSetting.test(text) && /[/\\]/.test(text)) {
    wrongLine(report, 'The descriptor names a file by a path', offset, text, 'no path')
  }
}

/** Refuses every create type whose data is in other files, and every spelling that readers disagree about. */
class CreateType {
  readonly #start: number
  readonly #report: Report
  #mentions = 0
  #value: string | undefined
  #offset: number
  #first = ''

  constructor(start: number, report: Report) {
    this.#start = start
    this.#offset = start
    this.#report = report
  }

  look({ text, offset }: DescriptorLine): void {
    if (!text.toLowerCase().includes('createtype')) return
    this.#mentions += 1
    if (this.#mentions > 1) return
    this.#offset = offset
    this.#first = text
    this.#value = typeLine.exec(text)?.[1]
  }

  end(): string | undefined {
    const value = this.#value
    if (this.#mentions === 0) {
      this.#wrong('The descriptor has no createType', 'none', this.#start)
    } else if (this.#mentions > 1) {
      this.#wrong('The descriptor speaks of createType more than once', `${this.#mentions} lines`)
    } else if (value === undefined) {
      this.#wrong('createType is not written as the format has it', this.#first)
    } else if (value.length >= 64) {
      this.#wrong('createType is too long', `${value.length} characters`)
    } else if (!acceptedTypes.has(value.toLowerCase())) {
      this.#wrong('This createType keeps its data in other files, or is not known', value)
    }
    if (value !== undefined) this.#report.details.createType = printable(value)
    return value
  }

  #wrong(reason: string, found: string, offset = this.#offset): void {
    this.#report.fail('create-type', {
      reason,
      offset,
      found: printable(found),
      accepted: 'createType="monolithicSparse" or createType="streamOptimized", once',
      reference: 'CVE-2022-47951',
    })
  }
}

/** Readers look for these texts anywhere, and give up without them. */
class ContentIdentities {
  readonly #start: number
  readonly #report: Report
  #hasOwn = false
  #hasParent = false

  constructor(start: number, report: Report) {
    this.#start = start
    this.#report = report
  }

  look({ text, offset }: DescriptorLine): void {
    if (text.includes('parentCID=')) this.#hasParent = true
    const own = text.indexOf('CID=')
    if (own < 0 || this.#hasOwn) return
    this.#hasOwn = true
    if (/^[0-9a-f]/i.test(text.slice(own + 4))) return
    wrongLine(
      this.#report,
      'The CID of the descriptor is not a number',
      offset,
      text,
      'eight hexadecimal digits',
    )
  }

  end(): void {
    if (this.#hasParent) return
    wrongLine(this.#report, 'The descriptor has no parentCID', this.#start, 'none', 'parentCID=ffffffff')
  }
}

function lookForParent({ text, offset }: DescriptorLine, report: Report): void {
  const hint = hintLine.exec(text)
  // Some readers look for the name anywhere, also in a comment.
  const parent = hint === null ? parentLine.exec(text) : null
  if (hint === null && (parent === null || /^f{8}$/i.test(parent[1] ?? ''))) return
  if (hint !== null) report.details.backingFile = printable(hint[1] ?? '')
  report.fail('backing-file', {
    reason: 'The image builds on a parent image, which a tool that opens it opens too',
    offset,
    found: printable(text),
    accepted: 'an image without a parent',
    reference: 'CVE-2022-47951',
  })
}
