import type { ReadableFormat } from '@disk-image/disk'
import type { Random } from '../../random.ts'

/** A part of an image that says where its data is. */
interface Region {
  readonly offset: number
  readonly length: number
  /** Bytes of an entry. */
  readonly unit: 1 | 4 | 8
}

const MiB = 1024 ** 2

function regionsOf(format: ReadableFormat, image: Buffer): Region[] {
  const u32 = (at: number): number => image.readUInt32LE(at)
  switch (format) {
    case 'vmdk': {
      const entries = Math.ceil(
        Number(image.readBigUInt64LE(12)) / (Number(image.readBigUInt64LE(20)) * u32(44)),
      )
      // Where it is behind the grains, the footer says where.
      const isAtEnd = u32(56) === 0xffffffff
      const directory = u32(isAtEnd ? image.length - 1024 + 56 : 56) * 512
      const table = u32(directory) * 512
      const grain = u32(table) * 512
      return [
        { offset: 0, length: 80, unit: 1 },
        { offset: 512, length: 400, unit: 1 },
        { offset: directory, length: entries * 4, unit: 4 },
        { offset: table, length: 512, unit: 4 },
        { offset: table, length: 512, unit: 4 },
        { offset: grain, length: 16, unit: 1 },
        ...(isAtEnd ? [{ offset: image.length - 1536, length: 1536, unit: 1 as const }] : []),
      ]
    }
    case 'vdi':
      return [
        { offset: 0x40, length: 0x190, unit: 1 },
        { offset: u32(0x154), length: u32(0x180) * 4, unit: 4 },
      ]
    case 'parallels':
      return [
        { offset: 0, length: 64, unit: 1 },
        { offset: 64, length: u32(32) * 4, unit: 4 },
      ]
    case 'vpc': {
      const footer = { offset: image.length - 512, length: 88, unit: 1 } as const
      if (image.toString('latin1', 0, 8) !== 'conectix') return [footer]
      return [
        footer,
        { offset: 0, length: 88, unit: 1 },
        { offset: 512, length: 64, unit: 1 },
        { offset: 1536, length: image.readUInt32BE(540) * 4, unit: 4 },
        { offset: 1536, length: image.readUInt32BE(540) * 4, unit: 4 },
      ]
    }
    case 'qcow2': {
      const l1 = Number(image.readBigUInt64BE(40))
      const l2 = Number(image.readBigUInt64BE(l1) & 0x00ff_ffff_ffff_fe00n)
      return [
        { offset: 0, length: 80, unit: 1 },
        { offset: l1, length: image.readUInt32BE(36) * 8, unit: 8 },
        { offset: l2, length: 4096, unit: 8 },
        { offset: l2, length: 512, unit: 8 },
      ]
    }
    default:
      // qemu-img writes log, table and metadata in this order; the checksums leave the rest to chance.
      return [
        { offset: 64 * 1024, length: 128, unit: 1 },
        { offset: 192 * 1024, length: 128, unit: 1 },
        ...[2, 3].flatMap((place) => [
          { offset: place * MiB, length: 256, unit: 8 as const },
          { offset: place * MiB + 65_536, length: 64, unit: 1 as const },
        ]),
      ]
  }
}

export const numbers: readonly number[] = [
  0, 1, 2, 127, 128, 255, 256, 511, 512, 2048, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
]

/** Damages a copy of a good image in one to three ways. */
export function mutate(
  random: Random,
  format: ReadableFormat,
  image: Buffer,
): { bytes: Buffer; what: string } {
  if (random.chance(0.1)) {
    const length = random.chance(0.5) ? random.below(image.length) : image.length - random.below(8192)
    return { bytes: image.subarray(0, Math.max(0, length)), what: `cut to ${length}` }
  }
  const bytes = Buffer.from(image)
  const regions = regionsOf(format, image).filter(
    ({ offset, length }) => length > 0 && offset + length <= image.length,
  )
  const what: string[] = []
  for (let count = random.pick([1, 1, 2, 3]); count > 0; count -= 1) {
    const { offset, length, unit } = random.pick(regions as [Region, ...Region[]])
    const at = offset + random.below(Math.floor(length / unit)) * unit
    if (unit === 1 || random.chance(0.2)) {
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at)
      what.push(`bit at ${at}`)
    } else if (random.chance(0.4)) {
      const from = offset + random.below(Math.floor(length / unit)) * unit
      bytes.copy(bytes, at, from, from + unit)
      what.push(`entry ${from} to ${at}`)
    } else {
      const value = random.chance(0.5)
        ? random.pick(numbers as [number, ...number[]])
        : ((format === 'vpc' ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) +
            random.pick([1, -1, 8, 128, 2048, -128])) >>>
          0
      if (format === 'vpc') bytes.writeUInt32BE(value, at)
      else bytes.writeUInt32LE(value, at)
      what.push(`${value} at ${at}`)
    }
  }
  if (format === 'vpc' && random.chance(0.6)) sealVhd(bytes)
  return { bytes, what: what.join(', ') }
}

/** Makes the copy of a VHD's footer what the footer is, and the checksums right. */
function sealVhd(bytes: Buffer): void {
  const end = bytes.length - 512
  const isDynamic = bytes.toString('latin1', 0, 8) === 'conectix'
  if (isDynamic) bytes.copy(bytes, end, 0, 512)
  for (const [at, length, field] of [
    ...(isDynamic ? [[0, 512, 64] as const, [512, 1024, 36] as const] : []),
    [end, 512, 64] as const,
  ]) {
    bytes.writeUInt32BE(0, at + field)
    const sum = bytes.subarray(at, at + length).reduce((all, byte) => all + byte, 0)
    bytes.writeUInt32BE(~sum >>> 0, at + field)
  }
}
