import type { Fields } from '@disk-image/disk/layouts'
import type { Report } from './result.ts'
import { atEnd, type Steps } from './engine/steps.ts'

/** A magic at a place, for contents that one magic tells. */
const magics: readonly (readonly [name: string, at: number, magic: string | readonly number[]])[] = [
  ['exfat', 3, 'EXFAT   '],
  ['ntfs', 3, 'NTFS    '],
  ['refs', 3, 'ReFS\0\0\0\0'],
  ['bitlocker', 3, '-FVE-FS-'],
  ['xfs', 0, 'XFSB'],
  ['squashfs', 0, 'hsqs'],
  ['erofs', 1024, [0xe2, 0xe1, 0xf5, 0xe0]],
  ['cramfs', 0, [0x45, 0x3d, 0xcd, 0x28]],
  ['romfs', 0, '-rom1fs-'],
  ['apfs', 32, 'NXSB'],
  ['btrfs', 65600, '_BHRfS_M'],
  ['bcachefs', 4120, [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]],
  ['bcache', 4120, [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9]],
  ['reiserfs', 65588, 'ReIsEr'],
  ['reiser4', 65536, 'ReIsEr4'],
  ['jfs', 32768, 'JFS1'],
  ['f2fs', 1024, [0x10, 0x20, 0xf5, 0xf2]],
  ['gfs2', 65536, [0x01, 0x16, 0x19, 0x70]],
  ['ocfs2', 1024, 'OCFSV2'],
  ['ocfs2', 2048, 'OCFSV2'],
  ['ocfs2', 4096, 'OCFSV2'],
  ['ocfs2', 8192, 'OCFSV2'],
  ['nilfs2', 1030, [0x34, 0x34]],
  ['hfsplus', 1024, 'H+\0\x04'],
  ['hfsplus', 1024, 'HX\0\x05'],
  ['swap', 4086, 'SWAPSPACE2'],
  ['swap', 4086, 'SWAP-SPACE'],
  ['swap', 65526, 'SWAPSPACE2'],
  ['mdraid', 4096, [0xfc, 0x4e, 0x2b, 0xa9]],
  ['mdraid', 0, [0xfc, 0x4e, 0x2b, 0xa9]],
  ['linux-kernel', 514, 'HdrS'],
]

/** FAT by what a boot sector must have: a jump, and numbers that only FAT's parameters have. */
function isFat(head: Fields): boolean {
  const jump = (head.u8(0) === 0xeb && head.u8(2) === 0x90) || head.u8(0) === 0xe9
  const sectorBytes = head.u16le(11)
  const cluster = head.u8(13)
  const media = head.u8(21)
  return (
    jump &&
    [512, 1024, 2048, 4096].includes(sectorBytes) &&
    cluster !== 0 &&
    (cluster & (cluster - 1)) === 0 &&
    head.u16le(14) > 0 &&
    (head.u8(16) === 1 || head.u8(16) === 2) &&
    (media === 0xf0 || media >= 0xf8)
  )
}

/** ext2, ext3 or ext4, by the features that tell them apart. */
function extName(head: Fields): string | undefined {
  if (!head.has(1080, [0x53, 0xef]) || head.u32le(1024) === 0) return undefined
  const journal = (head.u32le(1116) & 4) !== 0
  // Extents, 64 bit, flexible groups … came with ext4.
  if ((head.u32le(1120) & 0x3c0) !== 0 || (head.u32le(1124) & 0x78) !== 0) return 'ext4'
  return journal ? 'ext3' : 'ext2'
}

function isLvm(head: Fields): boolean {
  return [0, 512, 1024, 1536].some((at) => head.has(at, 'LABELONE') && head.has(at + 24, 'LVM2 001'))
}

/** Minix, by magic and a zone count that fits. */
function isMinix(head: Fields): boolean {
  const magic = head.u16le(1040)
  const classic = [0x137f, 0x138f, 0x2468, 0x2478].includes(magic)
  return (classic && head.u16le(1024) > 0 && head.u16le(1032) > 0) || head.u16le(1048) === 0x4d5a
}

/** The file system (or the like) that fills a bare disk; undefined where none is recognised. */
export function fileSystemName(head: Fields): string | undefined {
  if (isFat(head)) return 'fat'
  const byMagic = magics.find(([, at, magic]) => head.has(at, magic))?.[0]
  return (
    byMagic ?? extName(head) ?? (isLvm(head) ? 'lvm' : undefined) ?? (isMinix(head) ? 'minix' : undefined)
  )
}

const entries = [446, 462, 478, 494]
const protective = 0xee

/** `GPT` behind its protective MBR, with sectors of 512 or 4096 bytes. */
export function holdsGpt(head: Fields): boolean {
  return head.has(512, 'EFI PART') || head.has(4096, 'EFI PART')
}

/** The mark of a boot sector. */
export function holdsBootMark(head: Fields): boolean {
  return head.has(510, [0x55, 0xaa])
}

/** A boot sector whose four boot flags are possible: what partition scanners take for a table. */
export function holdsPartitionTable(head: Fields): boolean {
  return holdsBootMark(head) && entries.every((at) => (head.u8(at) & 0x7f) === 0)
}

/** What is odd about a partition table. It is noted and never refused: a disk is the user's own. */
export function notePartitions(head: Fields, gpt: boolean, report: Report): void {
  const note = (reason: string, offset: number, found: string, accepted: string): void =>
    report.note('partitions', { reason, offset, found, accepted })
  const types = entries.map((at) => head.u8(at + 4))
  for (const at of entries) {
    const flag = head.u8(at)
    if ((flag & 0x7f) !== 0) note('A partition has an impossible boot flag', at, `${flag}`, '0 or 128')
  }
  if (types.every((type) => type === 0))
    note('The partition table is empty', 446, 'no partition', 'one at least')
  const first = types.indexOf(protective)
  if (first < 0) {
    if (gpt) note('The GPT has no protective partition', 446, 'none', 'type 0xee')
    return
  }
  const at = entries[first] ?? 446
  if (first !== 0) note('The protective partition is not the first', at, `${first + 1}`, '1')
  if (head.u32le(at + 8) !== 1)
    note('The protective partition starts elsewhere', at + 8, `${head.u32le(at + 8)}`, '1')
  if (!head.has(at + 1, [0, 2, 0]))
    note('The protective partition has an odd start', at + 1, 'another CHS', '0/0/2')
  if (types.some((type, index) => index !== first && type !== 0)) {
    note('The protective partition is not alone (a hybrid MBR)', 446, types.join(', '), 'one partition')
  }
}

const firstDescriptor = 32768
const optical = ['CD001', 'BEA01', 'NSR02', 'NSR03', 'CDW02']

/** ISO 9660 or UDF, by the first volume descriptor. */
export function startsAsOptical(head: Fields): boolean {
  return optical.some((name) => head.has(firstDescriptor + 1, name))
}

/** `udf` where the volume has UDF; a bridge disc has both. */
export function opticalContent(head: Fields): string | undefined {
  for (let at = firstDescriptor; at < firstDescriptor + 16 * 2048; at += 2048) {
    if (head.has(at + 1, 'NSR02') || head.has(at + 1, 'NSR03')) return 'udf'
  }
  return undefined
}

/** An optical disc is raw data; its size is the file's. */
export function* examineOptical(_head: Fields, report: Report): Steps<void> {
  const end = yield* atEnd()
  report.virtualSize = BigInt(end.sizeBytes)
}
