import { expect, test } from 'vitest'
import { DiskChangedError, encodeDisk, openRaw } from '@disk-image/disk'
import { type Disk, type Extent, InvalidError, type RandomAccessReader } from '@disk-image/core'
import { DataMap } from '../../../src/encode/data-map.ts'
import { MemoryTarget } from '../../memory-target.ts'
import { Random } from '../../random.ts'

const MiB = 1024 ** 2

/** A file of so many bytes that is zero but for some of its pages. @returns it, and which bytes were read */
function pagesFile(
  sizeBytes: number,
  pages: ReadonlySet<number>,
): { reader: RandomAccessReader; read: number[] } {
  const read: number[] = []
  return {
    read,
    reader: {
      size: sizeBytes,
      read: (offset, length) => {
        read.push(offset, length)
        const bytes = new Uint8Array(Math.max(0, Math.min(length, sizeBytes - offset)))
        for (const page of pages) {
          const at = page * 4096 - offset
          if (at + 4096 > 0 && at < bytes.length) bytes.fill(1 + (page % 255), Math.max(0, at), at + 4096)
        }
        return Promise.resolve(bytes)
      },
    },
  }
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}

test('a raw disk tells data from zeros by reading, and reads no hole that is known', async () => {
  const { reader, read } = pagesFile(16 * MiB + 100, new Set([1, 2, 511, 4096]))
  await using disk = await openRaw(reader, { holes: [{ offset: 3 * MiB, length: 13 * MiB }] })
  expect(await all(disk.extents())).toEqual([
    { offset: 0, length: 4096, kind: 'zero' },
    { offset: 4096, length: 8192, kind: 'data' },
    { offset: 3 * 4096, length: 508 * 4096, kind: 'zero' },
    { offset: 511 * 4096, length: 4096, kind: 'data' },
    { offset: 2 * MiB, length: MiB, kind: 'zero' },
    { offset: 3 * MiB, length: 13 * MiB, kind: 'hole' },
    { offset: 16 * MiB, length: 100, kind: 'data' },
  ] satisfies Extent[])
  expect(read.filter((_, index) => index % 2 === 0)).toEqual([0, MiB, 2 * MiB, 16 * MiB])
})

test.each([
  [
    [
      { offset: 10, length: MiB },
      { offset: 0, length: 5 },
    ],
  ],
  [[{ offset: 0, length: 2 * MiB }]],
  [[{ offset: 0, length: -5 }]],
  [[{ offset: Number.NaN, length: 5 }]],
])('holes that lie are refused: %j', async (holes) => {
  const { reader } = pagesFile(MiB, new Set())
  await expect(openRaw(reader, { holes })).rejects.toThrow(InvalidError)
})

test('a raw disk that became shorter is an error, wherever it ends', async () => {
  const { reader } = pagesFile(MiB, new Set([3]))
  const disk = await openRaw({ size: 3 * MiB, read: reader.read.bind(reader) })
  await expect(all(disk.extents())).rejects.toThrow(DiskChangedError)
  const target = new MemoryTarget(3 * MiB)
  const image = await encodeDisk(disk, { format: 'raw' })
  await expect(image.writeTo(target)).rejects.toThrow('ends before its 3145728 bytes (at byte 1048576)')
  await expect(all(image.open())).rejects.toMatchObject({ code: 'DISK_CHANGED' })
})

test('raw is encoded as it is, in order and at its places', async () => {
  const { reader } = pagesFile(5 * MiB + 512, new Set([0, 300, 1280]))
  const disk = await openRaw(reader)
  const image = await encodeDisk(disk, { format: 'raw' })
  expect(image).toMatchObject({ format: 'raw', sizeBytes: 5 * MiB + 512, temporaryBytes: 0 })
  const whole = Buffer.from(await reader.read(0, reader.size))
  const target = new MemoryTarget(reader.size)
  expect(await image.writeTo(target)).toBe(reader.size)
  expect(target.isComplete && target.bytes.equals(whole)).toBe(true)
  expect(target.writtenBytes).toBe(2 * 4096 + 512)
  const chunks: Buffer[] = []
  for await (const chunk of image.open()) chunks.push(Buffer.from(chunk))
  expect(Buffer.concat(chunks).equals(whole)).toBe(true)
  // @ts-expect-error -- no such format
  await expect(encodeDisk(disk, { format: 'floppy' })).rejects.toThrow('floppy is not written here; ')
})

/** The map of a disk of which so many bytes are in random extents of data, beside a plain list of its units. */
async function randomMap(
  random: Random,
  unitBytes: number,
  sizeBytes: number,
): Promise<[DataMap, Uint8Array]> {
  const units = new Uint8Array(Math.ceil(sizeBytes / unitBytes))
  const extents: Extent[] = []
  for (let offset = 0, isData = random.chance(0.5); offset < sizeBytes; isData = !isData) {
    const most = random.pick([1, 100, 5000, 70_000, 1_000_000]) * unitBytes
    const length = Math.min(sizeBytes - offset, 1 + random.below(most))
    extents.push({ offset, length, kind: isData ? 'data' : random.pick(['zero', 'hole']) })
    if (isData) units.fill(1, Math.floor(offset / unitBytes), Math.ceil((offset + length) / unitBytes))
    offset += length
  }
  const disk: Pick<Disk, 'size' | 'extents'> = {
    size: sizeBytes,
    // oxlint-disable-next-line typescript/require-await -- as a disk's are
    async *extents() {
      yield* extents
    },
  }
  return [await DataMap.read(disk, unitBytes), units]
}

test('a map knows which units hold data, how many come before, and their runs', async () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const random = new Random(seed)
    const unitBytes = random.pick([512, 4096, 65_536])
    const [map, units] = await randomMap(
      random,
      unitBytes,
      random.below(300_000) * unitBytes + random.below(unitBytes),
    )
    const ranks = new Float64Array(units.length + 1)
    for (const [unit, has] of units.entries()) ranks[unit + 1] = (ranks[unit] ?? 0) + has
    expect(map.units).toBe(units.length)
    expect(map.count).toBe(ranks[units.length])
    for (let look = 0; look < 200 && units.length > 0; look += 1) {
      const unit = random.below(units.length)
      expect([unit, map.has(unit), map.rank(unit)]).toEqual([unit, units[unit] === 1, ranks[unit]])
    }
    expect(map.rank(units.length)).toBe(map.count)
    const found = new Uint8Array(units.length)
    let last = -1
    for (const { first, count } of map.runs()) {
      expect(first > last && count > 0).toBe(true)
      found.fill(1, first, first + count)
      last = first + count
    }
    expect(Buffer.from(found).equals(units)).toBe(true)
    const from = random.below(units.length + 1)
    const to = from + random.below(units.length + 1 - from)
    const inside = [...map.runs(from, to)].reduce((sum, { count }) => sum + count, 0)
    expect(inside).toBe((ranks[to] ?? 0) - (ranks[from] ?? 0))
  }
})

test('a map of too many units becomes coarser, and counts those of the disk', async () => {
  const extents: Extent[] = [
    { offset: 0, length: 5 * 4096, kind: 'hole' },
    { offset: 5 * 4096, length: 10, kind: 'data' },
    { offset: 5 * 4096 + 10, length: 8 * 1024 ** 4 - 5 * 4096 - 10, kind: 'hole' },
    { offset: 8 * 1024 ** 4, length: 4096, kind: 'data' },
  ]
  const map = await DataMap.read(
    {
      size: 8 * 1024 ** 4 + 4096,
      // oxlint-disable-next-line typescript/require-await -- as a disk's are
      async *extents() {
        yield* extents
      },
    },
    4096,
  )
  expect([map.units, map.count]).toEqual([2 ** 31 + 1, 17])
  expect([...map.runs()]).toEqual([
    { first: 0, count: 16 },
    { first: 2 ** 31, count: 1 },
  ])
  expect([map.rank(0), map.rank(3), map.rank(16), map.rank(2 ** 31)]).toEqual([0, 3, 16, 16])
})
