import type { Fields } from '../layouts/fields.ts'
import { printable } from '../layouts/printable.ts'
import type { Problems } from '../layouts/problems.ts'
import { checkExtentName, controls, declaredEncoding, decodeName } from './vmdk-names.ts'
import { type DescriptorLine, descriptorLines } from './vmdk-lines.ts'

/** Longest descriptor text, as in every reader of the format. */
export const longestDescriptor: number = 1024 ** 2 - 1

/** Which disks are accepted, and how many extents are kept. */
export interface VmdkKinds {
  readonly types: readonly string[]
  readonly mostExtents: number
}

/** Disks whose data is in one file, with the descriptor in it. */
export const vmdkInOneFile: VmdkKinds = { types: ['monolithicSparse', 'streamOptimized'], mostExtents: 10 }

/** Those in several files, of which the descriptor is one; in parts of 2 GB at most 16 TiB. */
export const vmdkInSeveral: VmdkKinds = {
  types: ['monolithicFlat', 'twoGbMaxExtentFlat', 'twoGbMaxExtentSparse'],
  mostExtents: 8192,
}

const extentLine =
  /^(RW|RDONLY|NOACCESS)[ \t]+(\d{1,19})[ \t]+([A-Z]+)(?:[ \t]+"([^"]*)"(?:[ \t]+(\d{1,19}))?(?:[ \t]+\S+){0,2})?$/i
const settingLine = /^[A-Za-z][\w.:-]*[ \t]*=[ \t]*(.*)$/
const typeLine = /^createType[ \t]*=[ \t]*"([^"]*)"$/
const parentLine = /^parentCID[ \t]*=[ \t]*(.*)$/i
const hintLine = /parentFileNameHint[^"]*"?([^"]*)/i
const pathSetting = /^(changeTrackPath|digestFilename|nativeParentHint)[ \t]*=/i
const encryptionSetting = /^(encryption|encryptedVM|ddb\.encrypt)[\w.]*[ \t]*=/i
/** What a descriptor says. */
export interface VmdkDescriptor {
  readonly createType: string | undefined
  /** The hint at a parent, printable. */
  readonly backingFile: string | undefined
  readonly encryption: 'vmware' | undefined
  readonly extentCount: number
  readonly sectors: bigint
  /** The first extents, as many as are kept. */
  readonly extents: readonly VmdkExtent[]
}

/** One line of the extent description. */
export interface VmdkExtent {
  readonly access: string
  readonly type: string
  /** Printable. */
  readonly name: string | undefined
  /** The same in the descriptor's encoding, to be looked up, never opened. */
  readonly fileName: string | undefined
  /** How many it has of the disk. */
  readonly sectors: bigint
  /** Where in its file a FLAT one begins, in sectors. */
  readonly firstSector: bigint
  /** Of its line in the descriptor. */
  readonly offset: number
  /** What of its line makes readers take it twice, or not at all; they agree about other lines. */
  readonly oddity: string | undefined
}

/**
 * Reads a descriptor strictly: whatever is not of a known form is refused, because another reader might
 * take it for something. It ends at the first NUL.
 *
 * @see https://github.com/libyal/libvmdk (documentation of the format)
 */
export function parseVmdkDescriptor(
  fields: Fields,
  start: number,
  length: number,
  problems: Problems,
  { types: accepted, mostExtents }: VmdkKinds = vmdkInOneFile,
): VmdkDescriptor {
  const encoding = declaredEncoding(fields, start, length)
  const types = new CreateType(start, problems, accepted)
  const extents: VmdkExtent[] = []
  const identities = new ContentIdentities(start, problems)
  let backingFile: string | undefined
  let encryption: 'vmware' | undefined
  let extentCount = 0
  let sectors = 0n
  let isApart = false
  for (const line of descriptorLines(fields, start, length)) {
    types.look(line)
    identities.look(line)
    backingFile = parentOf(line, problems) ?? backingFile
    const extent = line.tooLong ? null : extentLine.exec(line.text)
    if (extent === null) {
      if (checkPlainLine(line, problems)) encryption = 'vmware'
      isApart = line.text === ''
      continue
    }
    const [, access = '', count = '0', type = '', name, first] = extent
    extentCount += 1
    sectors += BigInt(count)
    checkExtentName(name, encoding, line.offset, problems)
    if (extents.length < mostExtents) {
      extents.push({
        access: access.toUpperCase(),
        type: type.toUpperCase(),
        name: name === undefined ? undefined : printable(name),
        fileName: name === undefined ? undefined : decodeName(name, encoding),
        sectors: BigInt(count),
        firstSector: BigInt(first ?? 0),
        offset: line.offset,
        oddity: oddityOf({ isApart, access, type, first }),
      })
    }
    isApart = false
  }
  if (extentCount === 0) wrongLine(problems, 'The descriptor has no extents', start, 'none', 'an extent')
  identities.end()
  return { createType: types.end(), backingFile, encryption, extentCount, sectors, extents }
}

/** What readers disagree about in a line that is right. */
function oddityOf({
  isApart,
  access,
  type,
  first,
}: {
  readonly isApart: boolean
  readonly access: string
  readonly type: string
  readonly first: string | undefined
}): string | undefined {
  if (isApart) return 'an empty line before it'
  if (/[a-z]/.test(access + type)) return 'small letters'
  return type === 'FLAT' && first === undefined ? 'no place in its file' : undefined
}

function wrongLine(
  problems: Problems,
  reason: string,
  offset: number,
  found: string,
  accepted: string,
): void {
  if (problems.has('descriptor')) return
  problems.add('descriptor', { reason, offset, found: printable(found), accepted })
}

/** @returns whether it tells of encryption */
function checkPlainLine({ text, offset, tooLong }: DescriptorLine, problems: Problems): boolean {
  const wrong = (reason: string, accepted: string): void =>
    wrongLine(problems, reason, offset, text, accepted)
  if (tooLong) wrong('The descriptor has a line that is too long', '4096 characters')
  else if (controls.test(text)) wrong('The descriptor has characters that it may not have', 'text')
  else if (text !== '' && !text.startsWith('#') && !settingLine.test(text)) {
    wrong('The descriptor has a line that is not understood', 'settings and extents')
  } else if (encryptionSetting.test(text)) {
    problems.add('encryption', {
      reason: 'The disk is encrypted by VMware, which only VMware opens',
      offset,
      found: printable(text),
      accepted: 'a disk that VMware has decrypted',
    })
    return true
  } else if (pathSetting.test(text) && /[/\\]/.test(text)) {
    wrong('The descriptor names a file by a path', 'no path')
  }
  return false
}

/** Refuses every create type whose data is in other files, and every spelling that readers disagree about. */
class CreateType {
  readonly #accepted: readonly string[]
  readonly #start: number
  readonly #problems: Problems
  #mentions = 0
  #value: string | undefined
  #offset: number
  #first = ''

  constructor(start: number, problems: Problems, accepted: readonly string[]) {
    this.#accepted = accepted
    this.#start = start
    this.#offset = start
    this.#problems = problems
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
    } else if (!this.#accepted.some((type) => type.toLowerCase() === value.toLowerCase())) {
      this.#wrong('This createType keeps its data in other files, or is not known', value)
    }
    return value
  }

  #wrong(reason: string, found: string, offset = this.#offset): void {
    this.#problems.add('create-type', {
      reason,
      offset,
      found: printable(found),
      accepted: `${this.#accepted.map((type) => `createType="${type}"`).join(' or ')}, once`,
      reference: 'CVE-2022-47951',
    })
  }
}

/** Readers look for these texts anywhere, and give up without them. */
class ContentIdentities {
  readonly #start: number
  readonly #problems: Problems
  #hasOwn = false
  #hasParent = false

  constructor(start: number, problems: Problems) {
    this.#start = start
    this.#problems = problems
  }

  look({ text, offset }: DescriptorLine): void {
    if (text.includes('parentCID=')) this.#hasParent = true
    const own = text.indexOf('CID=')
    if (own < 0 || this.#hasOwn) return
    this.#hasOwn = true
    if (/^[0-9a-f]/i.test(text.slice(own + 4))) return
    wrongLine(
      this.#problems,
      'The CID of the descriptor is not a number',
      offset,
      text,
      'eight hexadecimal digits',
    )
  }

  end(): void {
    if (this.#hasParent) return
    wrongLine(this.#problems, 'The descriptor has no parentCID', this.#start, 'none', 'parentCID=ffffffff')
  }
}

/** The hint at a parent; undefined where the line has none. */
function parentOf({ text, offset }: DescriptorLine, problems: Problems): string | undefined {
  const hint = hintLine.exec(text)
  // Some readers look for the name anywhere, also in a comment.
  const parent = hint === null ? parentLine.exec(text) : null
  if (hint === null && (parent === null || /^f{8}$/i.test(parent[1] ?? ''))) return undefined
  problems.add('backing-file', {
    reason: 'The image builds on a parent image, which a tool that opens it opens too',
    offset,
    found: printable(text),
    accepted: 'an image without a parent',
    reference: 'CVE-2022-47951',
  })
  return hint === null ? undefined : printable(hint[1] ?? '')
}
