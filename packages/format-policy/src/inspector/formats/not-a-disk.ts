import { type Fields, printable } from '@disk-image/disk/layouts'
import type { Examiner } from '../engine/steps.ts'
import type { Report } from '../result.ts'

/** Something that arrives in place of a disk image. */
export interface NotADisk {
  readonly name: string
  /** What it is called in a sentence. @default its name, and `data` */
  readonly title?: string
  readonly matches: (head: Fields) => boolean
  /** What makes a disk image of it, by tools that everybody has. */
  readonly advice: string
}

const inside =
  'and use the disk inside: a .vmdk (format vmdk), box.img of a Vagrant box (qcow2), disk.raw of Google Cloud (raw)'

/** For data that one tool unpacks, where it is a disk, and tar, where it is an archive. */
const unpack = (tool: string, tar: string): string =>
  `Unpack it: ${tool} FILE; or, where it is a tar archive, ${tar} FILE, ${inside}`

/** Archives and compressed data, by their magics and enough of what follows to tell them from chance. */
export const notDisks: readonly NotADisk[] = [
  {
    name: 'gzip',
    // Method deflate, and none of the flag bits that must be zero.
    matches: (head) => head.has(0, [0x1f, 0x8b, 8]) && (head.u8(3) & 0xe0) === 0,
    advice: `${unpack('gunzip', 'tar -xzf')}. A store takes the gzip of a disk as it is with container_format compressed`,
  },
  {
    name: 'xz',
    matches: (head) => head.has(0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]),
    advice: unpack('unxz', 'tar -xJf'),
  },
  {
    name: 'lzma',
    // The usual properties, and a length that is open or below 2^40.
    matches: (head) =>
      head.has(0, [0x5d, 0, 0]) &&
      head.length > 13 &&
      (head.u64le(5) === 0xffffffffffffffffn || (head.u64le(5) > 0n && head.u64le(5) < 1n << 40n)) &&
      head.u8(13) === 0,
    advice: unpack('unlzma', 'tar --lzma -xf'),
  },
  {
    name: 'zstd',
    matches: (head) =>
      (head.has(0, [0x28, 0xb5, 0x2f, 0xfd]) && (head.u8(4) & 8) === 0) ||
      // A frame that is skipped, with which some compressors begin.
      (head.has(1, [0x2a, 0x4d, 0x18]) &&
        head.u8(0) >>> 4 === 5 &&
        head.has(8 + head.u32le(4), [0x28, 0xb5])),
    advice: unpack('unzstd', 'tar --zstd -xf'),
  },
  {
    name: 'bzip2',
    matches: (head) =>
      head.has(0, 'BZh') &&
      head.u8(3) >= 0x31 &&
      head.u8(3) <= 0x39 &&
      (head.has(4, [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) ||
        head.has(4, [0x17, 0x72, 0x45, 0x38, 0x50, 0x90])),
    advice: unpack('bunzip2', 'tar -xjf'),
  },
  {
    name: 'lz4',
    matches: (head) => head.has(0, [0x04, 0x22, 0x4d, 0x18]) && head.u8(4) >>> 6 === 1,
    advice: unpack('unlz4', 'tar -I lz4 -xf'),
  },
  {
    name: 'lzip',
    matches: (head) => head.has(0, 'LZIP\x01'),
    advice: unpack('lzip -d', 'tar --lzip -xf'),
  },
  {
    name: 'compress',
    title: 'compressed data (.Z)',
    // 9 to 16 bits for a code, in blocks.
    matches: (head) => head.has(0, [0x1f, 0x9d]) && head.u8(2) >= 0x89 && head.u8(2) <= 0x90,
    advice: unpack('gunzip', 'tar -xzf'),
  },
  {
    name: 'ova',
    title: 'an OVA archive',
    matches: isOva,
    advice: `Unpack it: tar -xf FILE, and use the .vmdk inside (format vmdk), which is the disk`,
  },
  {
    name: 'tar',
    title: 'a tar archive',
    matches: (head) => isTar(head) && !isOva(head),
    advice: `Unpack it: tar -xf FILE, ${inside}`,
  },
  {
    name: 'zip',
    title: 'a zip archive',
    matches: (head) => head.has(0, [0x50, 0x4b, 3, 4]) || head.has(0, [0x50, 0x4b, 5, 6]),
    advice: 'Unpack it: unzip FILE, and use the disk inside',
  },
  {
    name: '7z',
    title: 'a 7z archive',
    matches: (head) => head.has(0, [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]),
    advice: 'Unpack it: 7z x FILE, and use the disk inside',
  },
  {
    name: 'rar',
    title: 'a RAR archive',
    matches: (head) => head.has(0, 'Rar!\x1a\x07'),
    advice: 'Unpack it: unrar x FILE, and use the disk inside',
  },
  {
    name: 'wim',
    title: 'a Windows image (WIM), which holds files',
    matches: (head) => head.has(0, 'MSWIM\0\0\0'),
    advice: 'Install it on a disk (wimapply of wimlib), and use that disk',
  },
  {
    name: 'vma',
    title: 'a backup of Proxmox (VMA)',
    matches: (head) => head.has(0, 'VMA\0') && head.u32be(4) === 1,
    advice: 'Unpack it on a Proxmox host: vma extract FILE FOLDER, and use the disk-drive-*.raw inside (raw)',
  },
  {
    name: 'android-sparse',
    title: 'a sparse image of Android',
    matches: (head) => head.has(0, [0x3a, 0xff, 0x26, 0xed]) && head.u16le(4) === 1 && head.u16le(8) === 28,
    advice: 'Unpack it: simg2img FILE disk.raw (raw)',
  },
]

/** Says what it is and what to do. */
export function examineNotADisk({ name, title, advice }: NotADisk): Examiner {
  return (head, report) => {
    report.fail('disk-image', {
      reason: `The bytes are ${title ?? `${name} data`}, not a disk image. ${advice}.`,
      offset: name === 'tar' || name === 'ova' ? tarMagicAt(head) : 0,
      found: name,
      accepted: 'a disk image',
    })
  }
}

const checksumAt = 148
const magicAt = 257

/**
 * A tar header, of POSIX, GNU, or the seventh edition of UNIX, which has no magic: then the checksum must be
 * written as tar programs write it, and what it is the sum of must make sense.
 */
function isTar(head: Fields): boolean {
  if (head.length < 512) return false
  const text = head.text(checksumAt, 8).trim()
  if (!/^[0-7]{1,7}$/.test(text) || Number.parseInt(text, 8) !== checksumOf(head)) return false
  if (head.has(magicAt, 'ustar')) return true
  const isNamed = head.u8(0) > 0x20 && head.u8(0) !== 0x7f
  const hasNumbers = [100, 108, 116, 124, 136].every((at) =>
    /^[0-7 ]{0,12}$/.test(head.text(at, at < 124 ? 8 : 12)),
  )
  const kind = head.u8(156)
  return isNamed && hasNumbers && (kind === 0 || (kind >= 0x30 && kind <= 0x37))
}

/** An archive whose first file is an OVF description, as its standard has it. */
function isOva(head: Fields): boolean {
  return isTar(head) && /\.ovf$/i.test(head.text(0, 100))
}

/** Where the mark of an archive stands. */
function tarMagicAt(head: Fields): number {
  return head.has(magicAt, 'ustar') ? magicAt : checksumAt
}

function checksumOf(head: Fields): number {
  let sum = 0
  for (let at = 0; at < 512; at += 1) sum += at >= checksumAt && at < checksumAt + 8 ? 0x20 : head.u8(at)
  return sum
}

/**
 * Formats that qemu still recognises and that nobody should send: they are refused as such. Their names of
 * other files are shown, because that is what an attacker would use them for.
 */
function banned(report: Report, format: string): void {
  report.expect('allowed-format')
  report.fail('allowed-format', {
    reason: `The ${format} format is outdated and never accepted`,
    offset: 0,
    found: format,
    accepted: 'qcow2 or raw (`qemu-img convert` makes them)',
  })
}

function nameBackingFile(report: Report, name: string, offset: number): void {
  report.details.backingFile = printable(name)
  report.fail('backing-file', {
    reason: 'The image has a backing file: a tool that opens it opens that file of the host too',
    offset,
    found: printable(name),
    accepted: 'an image without a backing file',
    reference: 'CVE-2015-5163',
  })
}

/** qcow, the forerunner of qcow2 (version 1 behind the same magic). */
export function examineQcow(head: Fields, report: Report): void {
  banned(report, 'qcow')
  report.expect('backing-file')
  report.details.version = 1
  report.virtualSize = head.u64be(24)
  const offset = head.u64be(8)
  if (offset === 0n) return
  const inside = offset < BigInt(head.length)
  nameBackingFile(report, inside ? head.text(Number(offset), Math.min(head.u32be(16), 1023)) : '', 8)
}

/** QED, the abandoned QEMU enhanced disk. */
export function examineQed(head: Fields, report: Report): void {
  banned(report, 'qed')
  report.expect('backing-file')
  report.virtualSize = head.u64le(48)
  if ((head.u64le(16) & 1n) === 0n) return
  nameBackingFile(report, head.text(head.u32le(56), Math.min(head.u32le(60), 1023)), 56)
}

/** Growing Bochs images. */
export function examineBochs(_head: Fields, report: Report): void {
  banned(report, 'bochs')
}

/** Compressed loop images. */
export function examineCloop(_head: Fields, report: Report): void {
  banned(report, 'cloop')
}

/** Apple disk images, told by their trailer. */
export function examineDmg(_head: Fields, report: Report): void {
  banned(report, 'dmg')
}
