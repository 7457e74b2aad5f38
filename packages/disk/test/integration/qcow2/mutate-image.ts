import type { Random } from '../../random.ts'

/** A damaged copy of an image's bytes, and what was done to it. */
export interface Mutation {
  readonly description: string
  readonly bytes: Buffer
}

interface Region {
  readonly name: string
  readonly offset: number
  readonly length: number
}

/** Where tables are, read from a good image. */
function findRegions(image: Buffer): Region[] {
  const clusterSize = 2 ** image.readUInt32BE(20)
  const l1 = { name: 'L1', offset: Number(image.readBigUInt64BE(40)), length: image.readUInt32BE(36) * 8 }
  const regions: Region[] = [
    { name: 'header', offset: 0, length: 112 },
    { name: 'extensions', offset: 104, length: Math.min(clusterSize, 600) - 104 },
    l1,
  ]
  const refcounts = Number(image.readBigUInt64BE(48))
  regions.push({ name: 'refcount table', offset: refcounts, length: 16 })
  regions.push({
    name: 'refcount block',
    offset: Number(image.readBigUInt64BE(refcounts)),
    length: Math.min(clusterSize, 512),
  })
  const snapshots = Number(image.readBigUInt64BE(64))
  if (snapshots !== 0) regions.push({ name: 'snapshots', offset: snapshots, length: 64 })
  const bitmaps = bitmapDirectory(image, clusterSize)
  if (bitmaps !== 0) regions.push({ name: 'bitmaps', offset: bitmaps, length: 40 })
  for (const offset of l2Offsets(image, l1)) {
    // Twice, as that is where most can go wrong.
    const table = { name: 'L2', offset, length: usedLength(image, offset, clusterSize) }
    regions.push(table, table)
  }
  return regions.filter(({ offset, length }) => length > 0 && offset + length <= image.byteLength)
}

/** Where the bitmaps are listed; 0: there are none. */
function bitmapDirectory(image: Buffer, clusterSize: number): number {
  const start = image.readUInt32BE(4) === 3 ? image.readUInt32BE(100) : 72
  for (let at = start; at + 32 < clusterSize;) {
    const type = image.readUInt32BE(at)
    if (type === 0x23852875) return Number(image.readBigUInt64BE(at + 24))
    if (type === 0) break
    at += 8 + Math.ceil(image.readUInt32BE(at + 4) / 8) * 8
  }
  return 0
}

function l2Offsets(image: Buffer, l1: Region): number[] {
  const offsets: number[] = []
  for (let place = l1.offset; place < l1.offset + l1.length; place += 8) {
    const offset = Number(image.readBigUInt64BE(place) & 0x00ff_ffff_ffff_fe00n)
    if (offset !== 0) offsets.push(offset)
  }
  return offsets
}

/** Up to the last entry that is not empty, and one more. */
function usedLength(image: Buffer, offset: number, clusterSize: number): number {
  for (let place = offset + clusterSize - 8; place >= offset; place -= 8) {
    if (image.readBigUInt64BE(place) !== 0n) return Math.min(clusterSize, place - offset + 16)
  }
  return 8
}

function flipBits(random: Random, bytes: Buffer, region: Region): string {
  const places: string[] = []
  for (let count = random.pick([1, 1, 1, 2, 5]); count > 0; count -= 1) {
    const place = region.offset + random.below(region.length)
    const bit = random.below(8)
    bytes.writeUInt8(bytes.readUInt8(place) ^ (1 << bit), place)
    places.push(`${place}.${bit}`)
  }
  return `bits ${places.join(' ')} of ${region.name}`
}

function copyEntry(random: Random, bytes: Buffer, region: Region): string {
  const from = region.offset + random.below(region.length / 8) * 8
  const to = region.offset + random.below(region.length / 8) * 8
  bytes.copy(bytes, to, from, from + 8)
  return `${region.name}: entry at ${from} copied to ${to}`
}

function moveEntry(random: Random, bytes: Buffer, region: Region): string {
  const place = region.offset + random.below(region.length / 8) * 8
  const clusterSize = 2 ** bytes.readUInt32BE(20)
  const step = BigInt(random.pick([1, 2, 512, clusterSize, 8 * clusterSize]))
  const value = bytes.readBigUInt64BE(place) + (random.chance(0.5) ? step : -step)
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value), place)
  return `${region.name}: entry at ${place} moved by ${step}`
}

function damageData(random: Random, bytes: Buffer): string {
  const place = random.below(bytes.byteLength)
  const length = Math.min(bytes.byteLength - place, 1 + random.below(64))
  for (let index = place; index < place + length; index += 1) bytes.writeUInt8(random.below(256), index)
  return `${length} bytes overwritten at ${place}`
}

/** Damages a copy of a good image in one way. */
export function mutateImage(random: Random, image: Buffer): Mutation {
  if (random.chance(0.15)) {
    const length = random.chance(0.5)
      ? random.below(image.byteLength + 1)
      : Math.floor(image.byteLength - random.below(4096))
    return { description: `cut to ${length}`, bytes: Buffer.from(image.subarray(0, Math.max(0, length))) }
  }
  const bytes = Buffer.from(image)
  if (random.chance(0.1)) return { description: damageData(random, bytes), bytes }
  const [first, ...others] = findRegions(image)
  const region = first === undefined ? undefined : random.pick([first, ...others])
  if (region === undefined) return { description: damageData(random, bytes), bytes }
  const isTable = region.name === 'L1' || region.name === 'L2'
  if (isTable && random.chance(0.25)) return { description: copyEntry(random, bytes, region), bytes }
  if (isTable && random.chance(0.25)) return { description: moveEntry(random, bytes, region), bytes }
  return { description: flipBits(random, bytes, region), bytes }
}
