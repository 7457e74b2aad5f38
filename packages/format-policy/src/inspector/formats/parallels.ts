import { Fields, viewOf } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { atEnd, read, scan, type Steps } from '../engine/steps.ts'
import { checkShared } from './shared.ts'

const inUse = 0x746f6e59
const extensionMagic = 0xab234cef23dcea87n
const plainMagic = 'WithoutFreeSpace'
const extendedMagic = 'WithouFreSpacExt'

/** Whether a Parallels disk starts here. */
export function startsAsParallels(head: Fields): boolean {
  return head.has(0, plainMagic) || head.has(0, extendedMagic)
}

/**
 * Parallels (ploop) expanding disks, version 2.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/parallels.rst
 */
export function* examineParallels(head: Fields, report: Report): Steps<void> {
  report.expect('version', 'header', 'virtual-size', 'tables', 'truncated', 'clean')
  const wrong = (name: string, reason: string, offset: number, found: string, accepted: string): void =>
    report.fail(name, { reason, offset, found, accepted })
  const extended = head.has(0, extendedMagic)
  const version = head.u32le(16)
  const tracks = head.u32le(28)
  const entries = head.u32le(32)
  // The plain magic has a 32-bit size; what follows it is then not a part of the number.
  const sectors = extended ? head.u64le(36) : BigInt(head.u32le(36))
  report.details.version = version
  report.virtualSize = sectors * 512n
  if (version !== 2) wrong('version', 'The Parallels version is not known', 16, `${version}`, '2')
  if (tracks === 0 || tracks > 0x7fffffff / 512) {
    wrong('header', 'The cluster size is outside the format', 28, `${tracks} sectors`, 'at least 1')
  }
  if (sectors > 1n << 54n) {
    wrong(
      'virtual-size',
      'The virtual size is not one that a disk can have',
      36,
      `${sectors} sectors`,
      'less',
    )
  }
  if (entries > 0x7fffffff / 4 || BigInt(entries) * BigInt(tracks) < sectors) {
    report.fail('tables', {
      reason: 'The allocation table does not match the virtual size',
      offset: 32,
      found: `${entries} entries of ${tracks} sectors`,
      accepted: `enough for ${sectors} sectors`,
      reference: 'CVE-2015-5162',
    })
  }
  const mark = head.u32le(44)
  if (mark === inUse) {
    wrong(
      'clean',
      'The image is marked as open: its program did not close it',
      44,
      'in use',
      'a closed image',
    )
  }
  let furthest = 0
  let used = 0
  let entryOffset = 0
  if (report.checks.every((check) => check.ok || check.name === 'clean')) {
    const unit = extended ? tracks * 512 : 512
    yield* scan(64, entries * 4, (piece, at) => {
      const view = viewOf(piece)
      for (let entry = 0; entry + 4 <= piece.length; entry += 4) {
        const place = view.getUint32(entry, true) * unit
        if (place > 0) used += 1
        if (place <= furthest) continue
        furthest = place
        entryOffset = at + entry
      }
    })
  }
  // The extension is a cluster of its own, behind the data.
  const extension = head.u64le(56)
  if (extension !== 0n) {
    const place = extension > 1n << 43n ? undefined : yield* read(Number(extension) * 512, 8)
    if (new Fields(place ?? new Uint8Array(0)).u64le(0) !== extensionMagic) {
      wrong('header', 'The format extension is not where the header says', 56, `sector ${extension}`, 'none')
    }
  }
  const { sizeBytes } = yield* atEnd()
  if (64 + entries * 4 > sizeBytes || furthest >= Math.max(sizeBytes, 1)) {
    report.fail('truncated', {
      reason: 'The file ends before the last of its clusters, so a part of the disk is missing',
      offset: entryOffset,
      found: `${sizeBytes} bytes`,
      accepted: `more than ${Math.max(furthest, 64 + entries * 4)} bytes`,
    })
  }
  checkShared({ name: 'clusters', count: used, bytes: tracks * 512 }, sizeBytes, report)
}
