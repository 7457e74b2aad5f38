import type { Fields } from '../fields.ts'
import { hex, printable } from '../printable.ts'
import type { Report } from '../report.ts'
import { headBytes } from '../engine/steps.ts'
import type { Qcow2Header } from './qcow2-header.ts'

const backingFormat = 0xe2792aca
const dataFileName = 0x44415441
const bitmaps = 0x23852875
const luksHeader = 0x0537be77
const mostBitmaps = 65535
const shortestBitmapEntry = 24n
const farthest = (1n << 63n) - 1n

/** Where an encrypted image keeps its LUKS header. */
export interface LuksRange {
  readonly offset: bigint
  readonly length: bigint
}

/**
 * Goes over the header extensions, which fill the rest of the first cluster up to the backing file's name.
 *
 * @returns where the LUKS header of an encrypted image is
 */
export function readExtensions(head: Fields, header: Qcow2Header, report: Report): LuksRange | undefined {
  let luks: LuksRange | undefined
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
    else if (type === bitmaps) checkBitmaps(data, at, header, report)
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
  return header.cryptMethod === 2 ? luks : undefined
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

function checkBitmaps(data: Fields, at: number, header: Qcow2Header, report: Report): void {
  // Without its autoclear bit the extension is stale and every program ignores it.
  if ((header.autoclear & 1n) === 0n) return
  const count = data.u32be(0)
  report.details.bitmaps = count
  const place = data.u64be(16)
  const possible = place > 0n && place <= farthest && place % BigInt(header.clusterSize || 1) === 0n
  const bytes = data.u64be(8)
  const fits = bytes >= BigInt(count) * shortestBitmapEntry && bytes <= BigInt(mostBitmaps) * 1024n
  const isWhole = data.length === 24 && data.u32be(4) === 0
  if (!isWhole || count === 0 || count > mostBitmaps || !possible || !fits) {
    report.fail('tables', {
      reason: 'The bitmap directory is not one that the format allows',
      offset: at,
      found: `${count} bitmaps, ${bytes} bytes at ${hex(place)}`,
      accepted: `1 to ${mostBitmaps} at a multiple of the cluster size`,
    })
  }
}
