import type { Fields } from '../fields.ts'
import { hex, printable } from '../printable.ts'
import type { Report } from '../report.ts'
import { headBytes } from '../engine/steps.ts'
import { type BitmapDirectory, checkBitmapExtension } from './qcow2-bitmaps.ts'
import type { Qcow2Header } from './qcow2-header.ts'

const backingFormat = 0xe2792aca
const dataFileName = 0x44415441
const bitmaps = 0x23852875
const luksHeader = 0x0537be77
/** Where an encrypted image keeps its LUKS header. */
export interface LuksRange {
  readonly offset: bigint
  readonly length: bigint
}

/** What extensions say about other places of the file. */
export interface Qcow2Extensions {
  /** Of an image that is encrypted with LUKS. */
  readonly luks: LuksRange | undefined
  readonly bitmaps: BitmapDirectory | undefined
}

/** Goes over the header extensions, which fill the rest of the first cluster up to the backing file's name. */
export function readExtensions(head: Fields, header: Qcow2Header, report: Report): Qcow2Extensions {
  let luks: LuksRange | undefined
  let directory: BitmapDirectory | undefined
  const limit = Math.min(header.clusterSize, head.length)
  const end =
    header.backingOffset > 0n && header.backingOffset < BigInt(limit) ? Number(header.backingOffset) : limit
  let at = header.headerLength
  let isOver = at >= end
  while (at + 8 <= end) {
    const type = head.u32be(at)
    const length = head.u32be(at + 4)
    if (length > end - at - 8) {
      report.fail('header', {
        reason: 'A header extension reaches beyond its place',
        offset: at,
        found: `type ${hex(type)}, ${length} bytes`,
        accepted: `at most ${end - at - 8} bytes`,
      })
      break
    }
    isOver = type === 0
    if (isOver) break
    const data = head.part(at + 8, length)
    if (type === backingFormat) report.details.backingFileFormat = printable(data.text(0, length))
    else if (type === dataFileName) reportDataFile(data, at, report)
    else if (type === bitmaps) directory = checkBitmapExtension(data, at, header, report)
    else if (type === luksHeader) {
      luks = { offset: data.u64be(0), length: data.u64be(8) }
      if (length !== 16) {
        const finding = { offset: at + 4, found: `${length} bytes`, accepted: '16 bytes' }
        report.fail('encryption', {
          reason: 'The place of the LUKS header has no possible length',
          ...finding,
        })
      }
    }
    at += 8 + Math.ceil(length / 8) * 8
    isOver = at >= end
  }
  // A file that ends here is read as if zeros followed, which end the extensions.
  const isWhole = head.length >= header.clusterSize || head.length === headBytes
  if (!isOver && isWhole) {
    report.fail('header', {
      reason: 'The header extensions do not end where they must',
      offset: at,
      found: `${end - at} bytes left`,
      accepted: 'an end mark, or extensions that fill their place',
    })
  }
  if (header.cryptMethod === 2 && luks === undefined) {
    report.fail('encryption', {
      reason: 'The image says that it is encrypted with LUKS, but has no LUKS header',
      offset: 32,
      found: 'no extension 0x537be77',
      accepted: 'a full disk encryption header',
    })
  }
  if (header.cryptMethod !== 2 && luks !== undefined) {
    report.fail('encryption', {
      reason: 'The image has a LUKS header and says that it is not encrypted with LUKS',
      offset: 32,
      found: `method ${header.cryptMethod}`,
      accepted: '2 (luks)',
    })
  }
  return { luks: header.cryptMethod === 2 ? luks : undefined, bitmaps: directory }
}

function reportDataFile(data: Fields, at: number, report: Report): void {
  const name = printable(data.text(0, Math.min(data.length, 1024)))
  report.details.dataFile = name
  report.fail('data-file', {
    reason: 'The image names an external data file, which can be any file of the host',
    offset: at,
    found: name,
    accepted: 'an image that holds its own data',
    reference: 'CVE-2024-32498',
  })
}
