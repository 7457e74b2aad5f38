import { InvalidError } from '@disk-image/core'
import { openDisk, type ReadableFormat, readableFormats } from '@disk-image/disk'
import { describe, expect, test } from 'vitest'
import { buildParallels, buildVdi, buildVhdx } from './build-others.ts'
import { readAll, readerOf, ruleOf } from './read-all.ts'

const MiB = 1024 ** 2

/** Lengths and fills of what is read. */
async function fillsOf(format: ReadableFormat, image: Uint8Array): Promise<(readonly [number, number])[]> {
  const bytes = await readAll(await openDisk(readerOf(image), format))
  const fills: [number, number][] = []
  for (const byte of bytes) {
    const last = fills.at(-1)
    if (last?.[1] === byte) last[0] += 1
    else fills.push([1, byte])
  }
  return fills
}

describe('vdi', () => {
  test('has its blocks, in any order, and what is free or marked as zero', async () => {
    expect(await fillsOf('vdi', buildVdi())).toEqual([
      [MiB, 8],
      [MiB, 0],
      [MiB, 7],
    ])
    const map = [0xfffffffe, 0xffffffff, 1]
    expect(await fillsOf('vdi', buildVdi({ map, kind: 2 }))).toEqual([
      [2 * MiB, 0],
      [MiB, 8],
    ])
  })

  test('of a size that is no whole number of sectors or blocks', async () => {
    expect(await fillsOf('vdi', buildVdi({ sizeBytes: 2 * MiB + 100 }))).toEqual([
      [MiB, 8],
      [MiB, 0],
      [100, 7],
    ])
  })

  test.each([
    ['another version', { fields: { 0x44: 0x00000001 } }, 'vdi-version'],
    ['another signature', { fields: { 0x40: 1 } }, 'vdi-header'],
    ['blocks with something before their data', { fields: { 0x17c: 512 } }, 'vdi-header'],
    ['blocks of 2 MiB', { fields: { 0x178: 2 * MiB } }, 'vdi-header'],
    ['a map in the header', { fields: { 0x154: 0 } }, 'vdi-header'],
    ['a map behind the end', { fields: { 0x154: 512 * 8000 } }, 'vdi-truncated'],
    ['a map for more than there is', { fields: { 0x180: 0x3fffffff } }, 'vdi-truncated'],
    ['too few blocks', { fields: { 0x180: 2 } }, 'vdi-tables'],
    ['an unknown kind', { kind: 5 }, 'vdi-header'],
    ['an undo disk', { kind: 3 }, 'vdi-backing-file'],
    ['a differencing disk', { kind: 4 }, 'vdi-backing-file'],
    ['the identity of a parent', { fields: { 0x1b8: 1 } }, 'vdi-backing-file'],
    ['a block behind the end', { map: [2, 1, 0] }, 'vdi-block-outside-file'],
    ['a block that there can not be', { map: [3, 1, 0] }, 'vdi-block-outside-file'],
    ['one block twice', { map: [1, 0, 1] }, 'vdi-block-used-twice'],
  ])('%s is refused', async (_, parts, rule) => {
    expect(await ruleOf('vdi', buildVdi(parts))).toBe(rule)
  })

  test('a last block that is cut is refused', async () => {
    expect(await ruleOf('vdi', buildVdi().subarray(0, -1))).toBe('vdi-block-outside-file')
  })
})

describe('parallels', () => {
  const sectors = (...numbers: number[]): (readonly [number, number])[] =>
    numbers.map((value) => [512, value])

  test('whose places are sectors', async () => {
    const expected = [...sectors(1, 2, 3, 4, 5, 6, 7, 8), [4096, 0], ...sectors(9, 10, 11, 12)]
    expect(await fillsOf('parallels', buildParallels())).toEqual(expected)
  })

  test('whose places are clusters', async () => {
    const image = buildParallels({ extended: true, tracks: 3, sectors: 9, entries: [4, 0, 2] })
    expect(await fillsOf('parallels', image)).toEqual([
      ...sectors(12, 13, 14),
      [1536, 0],
      ...sectors(6, 7, 8),
    ])
  })

  test('whose file ends within its last cluster', async () => {
    const image = buildParallels({ sectors: 24, entries: [1, 0, 9], fileBytes: 11 * 512 + 5 })
    expect((await fillsOf('parallels', image)).slice(-3)).toEqual([
      [512, 10],
      [5, 11],
      [8 * 512 - 1029, 0],
    ])
  })

  test('whose size has something behind it that belongs to the number only in the extended kind', async () => {
    const fields = { 40: 1 }
    expect((await openDisk(readerOf(buildParallels({ fields })), 'parallels')).size).toBe(20 * 512)
    expect(await ruleOf('parallels', buildParallels({ fields, extended: true }))).toBe('parallels-tables')
  })

  test.each([
    ['another version', { fields: { 16: 3 } }, 'parallels-version'],
    ['another magic', { fields: { 0: 1 } }, 'parallels-header'],
    ['no cluster size', { tracks: 0 }, 'parallels-header'],
    ['huge clusters', { tracks: 0x7fffffff }, 'parallels-header'],
    ['too few entries', { sectors: 25 }, 'parallels-tables'],
    ['a table behind the end', { fields: { 32: 0x1000000 } }, 'parallels-truncated'],
    ['a cluster behind the end', { entries: [1, 0, 32] }, 'parallels-block-outside-file'],
    ['one cluster twice', { entries: [1, 0, 1] }, 'parallels-block-used-twice'],
    ['clusters that overlap', { entries: [1, 0, 8] }, 'parallels-block-used-twice'],
    ['an extension that is none', { fields: { 56: 20 } }, 'parallels-header'],
    ['an extension behind the end', { fields: { 56: 40 } }, 'parallels-truncated'],
  ])('%s is refused', async (_, parts, rule) => {
    expect(await ruleOf('parallels', buildParallels(parts))).toBe(rule)
  })
})

describe('vhdx', () => {
  test('has its blocks, by the current header', async () => {
    expect(await fillsOf('vhdx', buildVhdx())).toEqual([
      [MiB, 5],
      [MiB, 0],
      [MiB, 4],
    ])
    const disk = await openDisk(
      readerOf(
        buildVhdx({
          bat: [
            [0, 0],
            [2, 0],
            [3, 7],
          ],
        }),
      ),
      'vhdx',
    )
    const kinds = []
    for await (const { kind } of disk.extents()) kinds.push(kind)
    expect(kinds).toEqual(['hole', 'zero', 'hole'])
  })

  test.each([512, 4096])(
    'with sectors of %d bytes: bitmaps stand after each run of blocks',
    async (sectorBytes) => {
      const blockBytes = 256 * MiB
      const run = (sectorBytes * 2 ** 23) / blockBytes
      const sizeBytes = run * blockBytes + MiB
      const empty = Array.from({ length: run + 1 }, () => [0, 0] as const)
      const image = buildVhdx({ sectorBytes, blockBytes, sizeBytes, bat: [...empty, [6, 5]] })
      const disk = await openDisk(readerOf(image), 'vhdx')
      expect(disk.size).toBe(sizeBytes)
      expect(await disk.read(sizeBytes - MiB - 1, 3)).toEqual(Uint8Array.of(0, 5, 5))
    },
  )

  test.each([
    [
      'a log to replay',
      {
        headers: [
          [1, 0],
          [2, 9],
        ],
      },
      'vhdx-clean',
    ],
    ['a log to replay, in the only header', { headers: [[1, 9]] }, 'vhdx-clean'],
    ['no header', { headers: [] }, 'vhdx-header'],
    ['a parent', { hasParent: true }, 'vhdx-backing-file'],
    ['no size of physical sectors', { items: 3 }, 'vhdx-metadata'],
    ['no identity of the disk', { items: 4 }, 'vhdx-metadata'],
    ['sectors of 1024 bytes', { sectorBytes: 1024 }, 'vhdx-metadata'],
    ['blocks of 3 MiB', { blockBytes: 3 * MiB }, 'vhdx-metadata'],
    ['blocks of 512 MiB', { blockBytes: 512 * MiB }, 'vhdx-metadata'],
    ['no size', { sizeBytes: 0 }, 'vhdx-virtual-size'],
    ['more than its table has', { sizeBytes: 2 ** 40 }, 'vhdx-tables'],
    ['more than any disk has', { sizeBytes: 2 ** 62, blockBytes: 256 * MiB }, 'vhdx-virtual-size'],
    ['a block that is partially there', { bat: [[7, 5]] }, 'vhdx-block-state'],
    ['a block of an unknown state', { bat: [[4, 5]] }, 'vhdx-block-state'],
    ['a block in the header', { bat: [[6, 0]] }, 'vhdx-block-outside-file'],
    ['a block behind the end', { bat: [[6, 6]] }, 'vhdx-block-outside-file'],
    [
      'one block twice',
      {
        bat: [
          [6, 5],
          [6, 5],
        ],
      },
      'vhdx-block-used-twice',
    ],
    ['a block in the log', { bat: [[6, 1]] }, 'vhdx-block-used-twice'],
    ['a block in the table', { bat: [[6, 3]] }, 'vhdx-block-used-twice'],
  ] as const)('%s is refused', async (_, parts, rule) => {
    expect(await ruleOf('vhdx', buildVhdx(parts))).toBe(rule)
  })
})

test.each([
  ['vdi', buildVdi({ sizeBytes: 0 })],
  ['parallels', buildParallels({ sectors: 0 })],
] as const)('a disk of no size is empty: %s', async (format, image) => {
  const disk = await openDisk(readerOf(image), format)
  expect(disk.size).toBe(0)
  expect(await readAll(disk)).toEqual(Buffer.alloc(0))
})

describe('openDisk', () => {
  test('never guesses, and knows a closed list of formats', async () => {
    for (const name of ['raw', 'constructor', '']) {
      await expect(openDisk(readerOf(buildVdi()), name as 'vdi')).rejects.toThrow(InvalidError)
    }
    for (const format of readableFormats.filter((name) => name !== 'vdi')) {
      await expect(openDisk(readerOf(buildVdi()), format)).rejects.toMatchObject({ kind: 'refused' })
    }
  })

  test.each(readableFormats)('%s: a file that is too short is refused', async (format) => {
    for (const length of [0, 1, 63, 64, 511]) {
      const opening = openDisk(readerOf(buildVdi().subarray(0, length)), format)
      await expect(opening).rejects.toMatchObject({ kind: 'refused' })
    }
  })
})
