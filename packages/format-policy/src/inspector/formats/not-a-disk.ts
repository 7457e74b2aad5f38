import type { Fields } from '../fields.ts'
import type { Examiner } from '../engine/steps.ts'

/** Something that arrives in place of a disk image. */
export interface NotADisk {
  readonly name: string
  readonly matches: (head: Fields) => boolean
  readonly advice: string
}

const unpack = (tool: string): string =>
  `Unpack it (${tool}), or, for gzip, register it with container_format 'compressed'`

/** Archives and compressed data, by their magics and enough of what follows to tell them from chance. */
export const notDisks: readonly NotADisk[] = [
  {
    name: 'gzip',
    // Method deflate, and none of the flag bits that must be zero.
    matches: (head) => head.has(0, [0x1f, 0x8b, 8]) && (head.u8(3) & 0xe0) === 0,
    advice: unpack('gunzip'),
  },
  { name: 'xz', matches: (head) => head.has(0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), advice: unpack('unxz') },
  {
    name: 'zstd',
    matches: (head) => head.has(0, [0x28, 0xb5, 0x2f, 0xfd]) && (head.u8(4) & 8) === 0,
    advice: unpack('unzstd'),
  },
  {
    name: 'bzip2',
    matches: (head) =>
      head.has(0, 'BZh') &&
      head.u8(3) >= 0x31 &&
      head.u8(3) <= 0x39 &&
      (head.has(4, [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) ||
        head.has(4, [0x17, 0x72, 0x45, 0x38, 0x50, 0x90])),
    advice: unpack('bunzip2'),
  },
  {
    name: 'lz4',
    matches: (head) => head.has(0, [0x04, 0x22, 0x4d, 0x18]) && head.u8(4) >>> 6 === 1,
    advice: unpack('unlz4'),
  },
  {
    name: 'ova',
    matches: (head) => isTar(head) && /\.ovf$/i.test(head.text(0, 100)),
    advice: 'Unpack it (tar -xf) and use the disk inside, whose format is usually vmdk',
  },
  {
    name: 'tar',
    matches: (head) => isTar(head) && !/\.ovf$/i.test(head.text(0, 100)),
    advice: 'Unpack it (tar -xf) and use the disk inside',
  },
  {
    name: 'zip',
    matches: (head) => head.has(0, [0x50, 0x4b, 3, 4]) || head.has(0, [0x50, 0x4b, 5, 6]),
    advice: 'Unpack it (unzip) and use the disk inside',
  },
  {
    name: '7z',
    matches: (head) => head.has(0, [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]),
    advice: 'Unpack it (7z x) and use the disk inside',
  },
]

/** A tar header: either magic, and the checksum holds. */
function isTar(head: Fields): boolean {
  if (!head.has(257, 'ustar')) return false
  let sum = 0
  for (let at = 0; at < 512; at += 1) sum += at >= 148 && at < 156 ? 0x20 : head.u8(at)
  return Number.parseInt(head.text(148, 8).trim(), 8) === sum
}

/** Says what it is and what to do. */
export function examineNotADisk({ name, advice }: NotADisk): Examiner {
  return (_head, report) => {
    report.fail('disk-image', {
      reason: `The bytes are ${name === 'ova' ? 'an OVA archive' : `${name} data`}, not a disk image. ${advice}.`,
      offset: name === 'tar' || name === 'ova' ? 257 : 0,
      found: name,
      accepted: 'a disk image',
    })
  }
}
