import { Bytes, latin1 } from '../build/bytes.ts'
import { buildQcow2 } from '../build/qcow2.ts'
import { crc32c } from '@disk-image/disk/layouts'
import { buildParallels, buildVdi, buildVhdx } from '../build/seeds.ts'
import { buildVhd } from '../build/others.ts'
import { descriptor, vmdkHeader } from '../build/vmdk.ts'

const KiB = 1024
const MiB = 1024 ** 2

/** An image of any size that is made while it is read. */
export interface HostileImage {
  readonly name: string
  readonly size: number
  /** The bytes at the start. */
  readonly head: Uint8Array
  /** What is behind them, made 8 bytes at a time from the offset. */
  readonly fill?: (view: DataView, at: number, offset: number) => void
}

const qcow2Tables = (clusterBits: number, size: number): HostileImage => ({
  name: `qcow2: 4 million L2 tables of ${2 ** clusterBits} bytes`,
  size,
  head: buildQcow2({ clusterBits, l1Size: 4 * MiB, l1Offset: BigInt(2 * MiB), size: 1n << 40n }),
  // Every table at another place, ascending.
  fill: (view, at, offset) => {
    const place = 40 * MiB + (offset / 8) * 2 ** clusterBits
    view.setUint32(at, 0x80000000 + Math.floor(place / 2 ** 32))
    view.setUint32(at + 4, place % 2 ** 32)
  },
})

function vhdxRegions(): Uint8Array {
  const bytes = new Bytes(4 * MiB).put(0, buildVhdx())
  for (const at of [192 * KiB, 256 * KiB]) {
    bytes.le(at + 8, 2047, 4)
    for (let entry = 2; entry < 2047; entry += 1) {
      const place = at + 16 + entry * 32
      bytes
        .le(place, entry, 8)
        .le(place + 16, BigInt(entry) << 40n, 8)
        .le(place + 24, 0xfff00000, 4)
      bytes.le(place + 28, 1, 4)
    }
  }
  return crcs(bytes)
}

function crcs(bytes: Bytes): Uint8Array {
  for (const at of [192 * KiB, 256 * KiB]) {
    bytes.le(at + 4, crc32c(bytes.end().subarray(at, at + 64 * KiB), 4), 4)
  }
  return bytes.end()
}

function vhdxMetadata(): Uint8Array {
  const table = 2 * MiB
  const bytes = new Bytes(4 * MiB).put(0, buildVhdx()).le(table + 10, 2047, 2)
  for (let item = 5; item < 2047; item += 1) {
    const place = table + 32 + item * 32
    bytes
      .le(place, item, 8)
      .le(place + 16, 65536 + item, 4)
      .le(place + 20, 512 * KiB, 4)
      .le(place + 24, 4, 4)
  }
  // A parent locator that fills what it may.
  const locator =
    '2d5fd3a80bb34d45abf7d3d84834ab0c'.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? []
  bytes.put(table + 32 + 2046 * 32, locator).fill(table + 128 * KiB, 512 * KiB, 0x61)
  return bytes.le(table + 32 + 2046 * 32 + 16, 128 * KiB, 4).end()
}

function vhdxTable(): Uint8Array {
  const bytes = new Bytes(4 * MiB).put(0, buildVhdx())
  for (const at of [192 * KiB, 256 * KiB]) bytes.le(at + 40, 0xfff00000, 4)
  bytes.le(2 * MiB + 65544, 64n * 1024n ** 4n, 8)
  return crcs(bytes)
}

function vmdk(text: string, directorySectors = 0n): Uint8Array {
  const capacity = directorySectors === 0n ? 2048n : directorySectors * 128n * 512n * 128n
  const header = vmdkHeader({ capacity, descriptorSize: 2047n, directory: 2048n })
  return new Bytes(MiB + 512)
    .put(0, header)
    .put(512, latin1(text).subarray(0, 2047 * 512))
    .end()
}

const full = (line: string): string => line.repeat(Math.ceil(MiB / line.length)).slice(0, MiB - 1024)

/** Everything that could make a judge keep much: the largest tables, counts and texts that the formats allow. */
export const hostileImages: readonly HostileImage[] = [
  { name: 'raw: 10 GiB', size: 10 * 1024 ** 3, head: new Uint8Array(512) },
  qcow2Tables(16, 64 * MiB),
  qcow2Tables(9, 128 * MiB),
  {
    name: 'qcow2: a cluster full of extensions',
    size: 8 * MiB,
    head: buildQcow2({
      clusterBits: 21,
      l1Offset: BigInt(4 * MiB),
      extensions: Array.from({ length: 15_000 }, (_, index) => [index + 16, 'x'.repeat(48)] as const),
    }),
  },
  {
    name: 'qcow2: a data file of 900 KiB',
    size: 8 * MiB,
    head: buildQcow2({ clusterBits: 21, extensions: [[0x44415441, 'é'.repeat(300_000)]] }),
  },
  { name: 'vmdk: extents only', size: 2 * MiB, head: vmdk(descriptor() + full('RW 1 SPARSE "x"\n')) },
  { name: 'vmdk: one line', size: 2 * MiB, head: vmdk(descriptor() + full('a = ')) },
  {
    name: 'vmdk: lines of one byte',
    size: 2 * MiB,
    head: vmdk(descriptor() + full('x\n').slice(0, 200_000)),
  },
  {
    name: 'vmdk: a text of 1 MiB',
    size: 2 * MiB,
    head: latin1(`# Disk DescriptorFile\n${full('RW 1 FLAT "/x" 0\n')}`),
  },
  {
    name: 'vmdk: a directory of 64 MiB',
    size: 40 * MiB,
    head: vmdk(descriptor(), 131_072n),
    fill: (view, at, offset) =>
      view.setBigUint64(at, BigInt(200_000 + (offset >>> 3)) * 0x1_0000_0001n, true),
  },
  {
    name: 'vhd: a table of 128 MiB',
    size: 40 * MiB,
    head: new Bytes(2048).put(0, buildVhd(3).subarray(0, 1536)).be(540, 0x1fffffff, 4).be(544, 512, 4).end(),
  },
  { name: 'vhdx: 2047 regions', size: 8 * MiB, head: vhdxRegions() },
  { name: 'vhdx: 2047 metadata items', size: 8 * MiB, head: vhdxMetadata() },
  {
    name: 'vhdx: a table of 4 GiB',
    size: 40 * MiB,
    head: vhdxTable(),
    fill: (view, at, offset) => view.setUint32(at, ((offset << 20) | 6) >>> 0, true),
  },
  {
    name: 'vdi: a map of 4 GiB',
    size: 40 * MiB,
    head: new Bytes(512).put(0, buildVdi().subarray(0, 512)).le(0x180, 0x3fffffff, 4).end(),
    fill: (view, at, offset) => view.setUint32(at, offset / 8, true),
  },
  {
    name: 'parallels: a table of 2 GiB',
    size: 40 * MiB,
    head: new Bytes(64).put(0, buildParallels().subarray(0, 64)).le(32, 0x1fffffff, 4).end(),
    fill: (view, at, offset) => view.setUint32(at, offset / 8, true),
  },
]

/** Fills the target with what the image has from the offset on. */
export function readImage({ head, fill }: HostileImage, target: Uint8Array, offset: number): Uint8Array {
  target.fill(0)
  if (offset < head.length) target.set(head.subarray(offset, offset + target.length))
  if (fill === undefined || offset % 8 !== 0) return target
  const view = new DataView(target.buffer, target.byteOffset, target.length)
  for (let at = Math.max(0, Math.ceil((head.length - offset) / 8) * 8); at + 8 <= target.length; at += 8) {
    fill(view, at, offset + at)
  }
  return target
}
