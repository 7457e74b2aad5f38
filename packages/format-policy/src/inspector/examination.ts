import {
  holdsGpt,
  holdsPartitionTable,
  holdsBootMark,
  notePartitions,
  fileSystemName,
  opticalContent,
} from './contents.ts'
import { Fields } from '@disk-image/disk/layouts'
import { examineDmg } from './formats/not-a-disk.ts'
import { type Signature, signatures } from './formats/index.ts'
import { hidesBootRecord } from './formats/luks.ts'
import { checkVhdAtEnd, footerAtEnd } from './formats/vhd.ts'
import { Report, type InspectionResult } from './result.ts'
import type { ImageEnd } from './engine/steps.ts'
import { Walk } from './engine/walk.ts'

/** Formats that may lie in a raw disk, and so in one with a VHD footer behind it. */
const diskContents = new Set(['iso', 'luks'])

/** The whole judgement of one image, from its head on. */
export class Examination {
  readonly #head: Fields
  readonly #matches: readonly Signature[]
  readonly #hasGpt: boolean
  readonly #hasTable: boolean
  readonly #walk: Walk
  #report: Report = new Report()

  /**
   * @param head the first bytes, as many as there are up to the limit, or as many as the format needs
   * @param reach the bytes that there are up to the limit
   */
  constructor(head: Uint8Array, reach: number = head.length) {
    this.#head = new Fields(head)
    this.#matches = firstOfEachName(signatures.filter((signature) => signature.matches(this.#head)))
    this.#hasGpt = holdsGpt(this.#head)
    this.#hasTable = this.#isPartitioned()
    this.#report.expect('disk-image', 'ambiguous')
    const first = this.#matches[0]
    this.#walk = new Walk(first?.examine(this.#head, this.#report) ?? undefined, this.#head, reach)
    this.#judgeAmbiguity(undefined)
  }

  get walk(): Walk {
    return this.#walk
  }

  /** What the head alone shows. */
  preliminary(): InspectionResult {
    return this.#result(this.#matches[0]?.name ?? 'raw', undefined, this.#report, undefined)
  }

  /** Runs the examination to its end. */
  finish(end: ImageEnd): InspectionResult {
    this.#walk.end(end)
    const found = this.#matches[0]?.name
    const footer =
      found !== 'vhd' && footerAtEnd(end) !== undefined ? 'vhd' : hasDmgTrailer(end) ? 'dmg' : undefined
    if (footer === undefined) return this.#result(found ?? 'raw', end, this.#report, undefined)
    const isDisk = found === undefined || diskContents.has(found)
    if (!isDisk) {
      this.#judgeAmbiguity(footer)
      return this.#result(found, end, this.#report, footer)
    }
    const report = new Report()
    report.expect('disk-image', 'ambiguous')
    if (footer === 'vhd') checkVhdAtEnd(end, report)
    else examineDmg(this.#head, report)
    this.#report = report
    if (this.#matches.length > 1) this.#judgeAmbiguity(footer)
    return this.#result(footer, end, report, footer)
  }

  /** More than one reader would find a disk here, and not the same one. */
  #judgeAmbiguity(footer: string | undefined): void {
    const names = this.#matches.map((signature) => signature.name)
    if (footer !== undefined) names.push(footer)
    const first = names[0]
    // An optical disc may carry a partition table too, so that it starts from other media: hybrid images.
    if (this.#hasGpt && first !== undefined && first !== 'iso') names.push('gpt')
    else if (this.#hasTable && first !== undefined && first !== 'iso') names.push('mbr')
    if (names.length < 2) return
    this.#report.fail('ambiguous', {
      reason: 'The bytes are valid in more than one format, so readers would see different disks',
      offset: 0,
      found: names.join(', '),
      accepted: 'one format (an optical disc may have a partition table as well)',
    })
  }

  #isPartitioned(): boolean {
    const head = this.#head
    if (this.#matches.some((signature) => signature.name === 'luks')) return hidesBootRecord(head)
    return holdsPartitionTable(head)
  }

  #result(
    format: string,
    end: ImageEnd | undefined,
    report: Report,
    footer: string | undefined,
  ): InspectionResult {
    const plain = format === 'raw' || format === 'iso' || footer === 'vhd'
    const contentName = plain ? this.#contentName(report) : undefined
    const names = this.#matches.map((signature) => signature.name)
    const tables = [
      this.#hasGpt ? ['gpt'] : [],
      this.#hasTable && contentName !== 'fat' ? ['mbr'] : [],
    ].flat()
    const matches = [...new Set([...(format === 'raw' ? [] : [format]), ...names, ...tables])]
    const size =
      format === 'raw' ? (end === undefined ? undefined : BigInt(end.sizeBytes)) : report.virtualSize
    return Object.freeze({
      format,
      virtualSizeBytes: exactNumber(size),
      fileSizeBytes: end?.sizeBytes,
      matches: Object.freeze(matches),
      contentName,
      safe: report.safe,
      verdict: report.verdict,
      checks: Object.freeze([...report.checks]),
      details: Object.freeze({ ...report.details }),
      complete: end !== undefined,
    })
  }

  #contentName(report: Report): string | undefined {
    const head = this.#head
    const optical = opticalContent(head)
    const inner = this.#matches.find((signature) => diskContents.has(signature.name))?.name
    if (inner === 'luks') return 'luks'
    if (this.#hasGpt) notePartitions(head, true, report)
    if (this.#hasGpt) return 'gpt'
    const fileSystem = fileSystemName(head)
    if (fileSystem !== undefined) return fileSystem
    if (holdsBootMark(head)) {
      notePartitions(head, false, report)
      return 'mbr'
    }
    return optical ?? (report.details.foundAt === 'footer' ? inner : undefined)
  }
}

function firstOfEachName(found: readonly Signature[]): readonly Signature[] {
  return found.filter(
    (signature, index) => found.findIndex((other) => other.name === signature.name) === index,
  )
}

/** Apple's disk images end with a block that begins with `koly`, version 4, 512 bytes. */
function hasDmgTrailer(end: ImageEnd): boolean {
  const fields = new Fields(end.tail.subarray(Math.max(0, end.tail.length - 512)))
  return fields.has(0, 'koly') && fields.u32be(4) === 4 && fields.u32be(8) === 512
}

/** A size as a number, where it is one exactly. */
function exactNumber(size: bigint | undefined): number | undefined {
  if (size === undefined) return undefined
  const number = Number(size)
  return BigInt(number) === size ? number : undefined
}
