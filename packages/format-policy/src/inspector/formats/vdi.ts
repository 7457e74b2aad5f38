import { type Fields, viewOf, hex } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { atEnd, type ImageEnd, scan, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'

const version11 = 0x00010001
const mostBlocks = 0x3fffffff
const unusedBlock = 0xfffffffe
const types: Readonly<Record<number, string>> = { 1: 'dynamic', 2: 'fixed', 3: 'undo', 4: 'differencing' }

/**
 * VirtualBox disks, version 1.1.
 *
 * @see https://forums.virtualbox.org/viewtopic.php?t=8046 (tutorial: all about VDIs)
 */
export function* examineVdi(head: Fields, report: Report): Steps<void> {
  report.expect('version', 'header', 'virtual-size', 'backing-file', 'tables', 'truncated')
  const version = head.u32le(0x44)
  report.details.version = version >>> 16
  report.virtualSize = head.u64le(0x170)
  if (version !== version11) {
    report.fail('version', {
      reason: 'The VDI version is not known',
      offset: 0x44,
      found: `${version >>> 16}.${version & 0xffff}`,
      accepted: '1.1',
    })
    return
  }
  checkHeader(head, report)
  checkParent(head, report)
  const blocks = head.u32le(0x180)
  const table = head.u32le(0x154)
  let highest = -1
  let entryOffset = 0
  let shared = false
  let used = 0
  if (report.safe) {
    yield* scan(table, blocks * 4, (piece, at) => {
      const view = viewOf(piece)
      for (let entry = 0; entry + 4 <= piece.length; entry += 4) {
        const block = view.getUint32(entry, true)
        if (block >= unusedBlock) continue
        used += 1
        if (block <= highest) continue
        if (block >= blocks) shared = true
        highest = block
        entryOffset = at + entry
      }
    })
  }
  if (shared) {
    report.fail('tables', {
      reason: 'The block map points behind the blocks that there can be',
      offset: entryOffset,
      found: `block ${highest}`,
      accepted: `below ${blocks}`,
    })
  }
  const end = yield* atEnd()
  checkAgainstLength(head, highest, entryOffset, end, report)
  checkShared({ name: 'blocks', count: used, bytes: head.u32le(0x178) }, end.sizeBytes, report)
}

function checkHeader(head: Fields, report: Report): void {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    report.fail('header', { reason, offset, found, accepted })
  const blockSize = head.u32le(0x178)
  const blocks = head.u32le(0x180)
  const size = head.u64le(0x170)
  const type = head.u32le(0x4c)
  const name = types[type]
  if (name === undefined) wrong('The image type is not known', 0x4c, `${type}`, '1 (dynamic) or 2 (fixed)')
  else report.details.subformat = name
  if (head.length < 512) wrong('The file ends within its header', 0, `${head.length} bytes`, 'at least 512')
  if (head.u32le(0x168) !== 512) wrong('The sector size is not 512', 0x168, `${head.u32le(0x168)}`, '512')
  if (blockSize !== 1024 ** 2) wrong('The block size is not 1 MiB', 0x178, `${blockSize}`, `${1024 ** 2}`)
  if (head.u32le(0x154) % 512 !== 0 || head.u32le(0x154) < 512) {
    wrong('The block map is not where it can be', 0x154, hex(head.u32le(0x154)), 'a multiple of 512')
  }
  if (head.u32le(0x158) % 512 !== 0) {
    wrong('The data is not where it can be', 0x158, hex(head.u32le(0x158)), 'a multiple of 512')
  }
  if (blocks > mostBlocks || BigInt(blocks) * BigInt(blockSize) < size) {
    report.fail('tables', {
      reason: 'The block map does not match the virtual size',
      offset: 0x180,
      found: `${blocks} blocks for ${size} bytes`,
      accepted: `at most ${mostBlocks}, and enough for the size`,
      reference: 'CVE-2015-5162',
    })
  }
  if (size > BigInt(mostBlocks) * 1048576n) {
    report.fail('virtual-size', {
      reason: 'The virtual size is not one that a VDI can have',
      offset: 0x170,
      found: `${size} bytes`,
      accepted: `at most ${BigInt(mostBlocks) * 1048576n}`,
      reference: 'CVE-2013-2096',
    })
  }
}

function checkParent(head: Fields, report: Report): void {
  const type = head.u32le(0x4c)
  const linked = !head.isZero(0x1a8, 32)
  if (!linked && type !== 3 && type !== 4) return
  report.details.backingFile = ''
  report.fail('backing-file', {
    reason: 'The image is a differencing disk, whose parent holds a part of the data',
    offset: linked ? 0x1a8 : 0x4c,
    found: linked ? 'the identity of a parent' : `image type ${type}`,
    accepted: 'a dynamic or fixed disk without a parent',
  })
}

function checkAgainstLength(
  head: Fields,
  highest: number,
  entryOffset: number,
  end: ImageEnd,
  report: Report,
): void {
  const table = head.u32le(0x154)
  const tableEnd = table + head.u32le(0x180) * 4
  const block = head.u32le(0x178) + head.u32le(0x17c)
  const dataEnd = head.u32le(0x158) + (highest + 1) * block
  if (tableEnd <= end.sizeBytes && (highest < 0 || dataEnd <= end.sizeBytes)) return
  report.fail('truncated', {
    reason: 'The file ends before the last of its blocks, so a part of the disk is missing',
    offset: tableEnd > end.sizeBytes ? 0x154 : entryOffset,
    found: `${end.sizeBytes} bytes`,
    accepted: `at least ${Math.max(tableEnd, dataEnd)} bytes`,
  })
}
