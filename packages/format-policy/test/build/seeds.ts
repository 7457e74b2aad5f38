import { crc32c } from '@disk-image/disk/layouts'
import { Bytes, noise } from './bytes.ts'
import { bootRecord, buildIso, buildVhd, vhdFooter } from './others.ts'
import { buildQcow2 } from './qcow2.ts'
import { buildVmdk, buildVmwareStream, descriptor } from './vmdk.ts'

/** A dynamic VDI with one block of its table used. */
export function buildVdi(): Uint8Array {
  const bytes = new Bytes(1024 + 1048576)
    .put(0, '<<< disk >>>\n')
    .le(0x40, 0xbeda107f, 4)
    .le(0x44, 0x10001, 4)
  bytes.le(0x48, 0x180, 4).le(0x4c, 1, 4).le(0x154, 512, 4).le(0x158, 1024, 4).le(0x168, 512, 4)
  bytes.le(0x170, 3145728, 8).le(0x178, 1048576, 4).le(0x180, 3, 4).le(0x184, 1, 4)
  return bytes.fill(512, 12, 255).le(512, 0, 4).put(1024, noise(3000)).end()
}

/** A Parallels disk with two clusters of 4 KiB. */
export function buildParallels(): Uint8Array {
  const bytes = new Bytes(12288).put(0, 'WithouFreSpacExt').le(16, 2, 4).le(20, 16, 4).le(24, 4, 4)
  return bytes.le(28, 8, 4).le(32, 2, 4).le(36, 16, 8).le(64, 1, 4).le(68, 2, 4).put(4096, noise(8000)).end()
}

/** A LUKS 1 header with one key and a little data. */
export function buildLuks(): Uint8Array {
  const bytes = new Bytes(4096 * 512 + 8192)
    .put(0, 'LUKS\xba\xbe')
    .be(6, 1, 2)
    .put(8, 'aes')
    .put(40, 'xts-plain64')
  bytes.put(72, 'sha256').be(104, 4096, 4).be(108, 64, 4).put(112, noise(52)).be(164, 1000, 4)
  for (let slot = 0; slot < 8; slot += 1) {
    const at = 208 + slot * 48
    bytes.be(at, slot === 0 ? 0x00ac71f3 : 0xdead, 4).be(at + 4, slot === 0 ? 1000 : 0, 4)
    bytes.be(at + 40, 8 + 504 * slot, 4).be(at + 44, 4000, 4)
  }
  return bytes.end()
}

const guids = {
  bat: '6677c22d23f600429d64115e9bfd4a08',
  metadata: '06a27c8b90479a4bb8fe575f050f886e',
  parameters: '3767a1ca36fa434db3b633f0aa44e76b',
  size: '2442a52f1bcd7648b2115dbed83bf4b8',
  sector: '1dbf41816fa90947ba47f233a8faab5f',
  physical: 'c748a3cd5d4471449cc9e9885251c556',
  page83: 'ab12cabee6b2234593efc309e000c746',
}
const guid = (text: string): number[] => text.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? []

/** A VHDX of 16 MiB without data. */
export function buildVhdx(): Uint8Array {
  const KiB = 1024
  const MiB = 1024 ** 2
  const bytes = new Bytes(4 * MiB).put(0, 'vhdxfile')
  for (const [index, at] of [64 * KiB, 128 * KiB].entries()) {
    bytes
      .put(at, 'head')
      .le(at + 8, index + 1, 8)
      .le(at + 66, 1, 2)
      .le(at + 68, MiB, 4)
      .le(at + 72, MiB, 8)
    bytes.le(at + 4, crc32c(bytes.end().subarray(at, at + 4 * KiB), 4), 4)
  }
  for (const at of [192 * KiB, 256 * KiB]) {
    bytes.put(at, 'regi').le(at + 8, 2, 4)
    bytes
      .put(at + 16, guid(guids.bat))
      .le(at + 32, 3 * MiB, 8)
      .le(at + 40, MiB, 4)
      .le(at + 44, 1, 4)
    bytes
      .put(at + 48, guid(guids.metadata))
      .le(at + 64, 2 * MiB, 8)
      .le(at + 72, MiB, 4)
      .le(at + 76, 1, 4)
    bytes.le(at + 4, crc32c(bytes.end().subarray(at, at + 64 * KiB), 4), 4)
  }
  const table = 2 * MiB
  bytes.put(table, 'metadata').le(table + 10, 5, 2)
  const items = [
    [guids.parameters, 65536, 8],
    [guids.size, 65544, 8],
    [guids.sector, 65552, 4],
    [guids.physical, 65556, 4],
    [guids.page83, 65560, 16],
  ] as const
  for (const [index, [identity, offset, length]] of items.entries()) {
    const at = table + 32 + 32 * index
    bytes
      .put(at, guid(identity))
      .le(at + 16, offset, 4)
      .le(at + 20, length, 4)
      .le(at + 24, 4, 4)
  }
  return bytes
    .le(table + 65536, MiB, 4)
    .le(table + 65544, 16 * MiB, 8)
    .le(table + 65552, 512, 4)
    .le(table + 65556, 4096, 4)
    .put(table + 65560, noise(16))
    .end()
}

/** An image to start from, and the places of its fields. */
export interface Seed {
  /** The format, and what is special about it after a hyphen. */
  readonly name: string
  readonly format: string
  readonly bytes: Uint8Array
  /** Ranges that are worth changing: headers, tables, footers. */
  readonly interesting: readonly (readonly [from: number, to: number])[]
}

const text = (value: string): Uint8Array => Uint8Array.from(value, (character) => character.charCodeAt(0))

/** Gives every seed the format that its name begins with. */
export function named(list: readonly Omit<Seed, 'format'>[]): readonly Seed[] {
  return list.map((seed) => ({ ...seed, format: seed.name.split('-')[0] ?? seed.name }))
}

/** A valid image of every format. */
export function seeds(): readonly Seed[] {
  const qcow2 = buildQcow2()
  const stream = buildVmwareStream()
  const vhd = buildVhd()
  const fixed = new Bytes(65536).put(0, bootRecord()).put(65536, vhdFooter(2, 65536n)).end()
  const flat = text(descriptor('monolithicFlat', ['RW 8 FLAT "x" 0']))
  return named([
    { name: 'raw', bytes: noise(3000), interesting: [[0, 3000]] },
    {
      name: 'qcow2',
      bytes: qcow2,
      interesting: [
        [0, 120],
        [196608, 196624],
        [262144, 262160],
      ],
    },
    {
      name: 'vmdk',
      bytes: buildVmdk(),
      interesting: [
        [0, 80],
        [512, 900],
        [10752, 10768],
        [11264, 11280],
      ],
    },
    {
      name: 'vmdk-stream',
      bytes: stream,
      interesting: [
        [0, 80],
        [512, 900],
        [stream.length - 1536, stream.length],
      ],
    },
    { name: 'vmdk-text', bytes: flat, interesting: [[0, flat.length]] },
    {
      name: 'vhd',
      bytes: vhd,
      interesting: [
        [0, 90],
        [512, 560],
        [1536, 1544],
        [vhd.length - 512, vhd.length - 420],
      ],
    },
    {
      name: 'vhd-fixed',
      bytes: fixed,
      interesting: [
        [440, 512],
        [65536, 65630],
      ],
    },
    {
      name: 'vhdx',
      bytes: buildVhdx(),
      interesting: [
        [65536, 65620],
        [196608, 196700],
        [2097152, 2097300],
        [2162688, 2162720],
      ],
    },
    {
      name: 'vdi',
      bytes: buildVdi(),
      interesting: [
        [64, 80],
        [336, 472],
        [512, 524],
      ],
    },
    { name: 'parallels', bytes: buildParallels(), interesting: [[0, 72]] },
    { name: 'luks', bytes: buildLuks(), interesting: [[0, 592]] },
    {
      name: 'iso',
      bytes: buildIso(),
      interesting: [
        [32768, 32900],
        [440, 520],
      ],
    },
  ])
}
