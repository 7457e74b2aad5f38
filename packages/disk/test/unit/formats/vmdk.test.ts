import { deflateSync } from 'node:zlib'
import { openVmdk } from '@disk-image/disk'
import { describe, expect, test } from 'vitest'
import {
  buildVmdk,
  buildVmwareStream,
  descriptor,
  grainRecord,
  streamFlags,
  words,
  zeroFlag,
} from './build-vmdk.ts'
import { readAll, readerOf, ruleOf } from './read-all.ts'

const grainBytes = 4096
const fill = (value: number): Uint8Array => new Uint8Array(grainBytes).fill(value)
const noise = Uint8Array.from({ length: grainBytes }, (_, index) => Math.imul(index, 2_654_435_761) >>> 13)

/** Grains 1 and 5 of 8, in tables in sectors 4 and 5. */
const sparse = {
  at: { 3: words(4, 5), 4: words(0, 8, 0, 0), 5: words(0, 16, 0, 0), 8: fill(1), 16: fill(5) },
}

function diskWith(size: number, grains: readonly (readonly [number, Uint8Array])[]): Buffer {
  const disk = Buffer.alloc(size)
  for (const [number, content] of grains)
    disk.set(content.subarray(0, size - number * grainBytes), number * grainBytes)
  return disk
}

async function read(image: Uint8Array): Promise<Buffer> {
  return readAll(await openVmdk(readerOf(image)))
}

describe('monolithicSparse', () => {
  const expected = diskWith(32_768, [
    [1, fill(1)],
    [5, fill(5)],
  ])

  test('has its grains and holes', async () => {
    expect(await read(buildVmdk(sparse))).toEqual(expected)
    const { layout } = await openVmdk(readerOf(buildVmdk(sparse)))
    expect(layout).toMatchObject({ createType: 'monolithicSparse', sizeBytes: 32_768, grainBytes })
    expect(Object.isFrozen(layout)).toBe(true)
  })

  test('tells stored, zeroed and missing grains apart', async () => {
    const at = { ...sparse.at, 4: words(1, 8, 0, 1) }
    const disk = await openVmdk(readerOf(buildVmdk({ at, flags: 1 | zeroFlag })))
    const kinds = []
    for await (const { kind, length } of disk.extents()) kinds.push([kind, length / grainBytes])
    expect(kinds).toEqual([
      ['zero', 1],
      ['data', 1],
      ['hole', 1],
      ['zero', 1],
      ['hole', 1],
      ['data', 1],
      ['hole', 2],
    ])
  })

  test('ends within a grain, and its file within the last one', async () => {
    const at = { ...sparse.at, 5: words(0, 0, 36, 0), 36: fill(6) }
    const image = buildVmdk({ capacity: 53, at, sectors: 44 }).subarray(0, 40 * 512 - 100)
    const last = fill(6).subarray(0, 4 * 512 - 100)
    expect(await read(image)).toEqual(
      diskWith(53 * 512, [
        [1, fill(1)],
        [6, last],
      ]),
    )
  })

  test.each(['RW  64  SPARSE  "disk.vmdk"', 'RW\t64\tSPARSE\t"disk.vmdk"', 'rw 64 sparse "disk.vmdk"'])(
    'whose extent somebody edited to %j is read all the same',
    async (extent) => {
      const text = descriptor('monolithicSparse', '', extent)
      expect(await read(buildVmdk({ ...sparse, descriptor: text }))).toEqual(expected)
      const two = descriptor('monolithicSparse', 'rw\t1 flat "/etc/passwd" 0', extent)
      await expect(read(buildVmdk({ ...sparse, descriptor: two }))).rejects.toMatchObject({
        rule: 'vmdk-extents',
      })
    },
  )

  test('whose descriptor is shorter than the header says has grains behind the text', async () => {
    const image = buildVmdk(sparse)
    for (const sectors of [20, 2 ** 31, 2 ** 52]) {
      new DataView(image.buffer).setBigUint64(36, BigInt(sectors), true)
      expect(await read(image)).toEqual(expected)
    }
  })

  test.each([
    ['a mark for zero without its flag', { ...sparse.at, 4: words(1, 8, 0, 0) }, 'vmdk-grain-outside-file'],
    ['a grain in the descriptor', { ...sparse.at, 4: words(0, 1, 0, 0) }, 'vmdk-grain-outside-file'],
    ['a grain behind the end', { ...sparse.at, 4: words(0, 40, 0, 0) }, 'vmdk-grain-outside-file'],
    ['one grain twice', { ...sparse.at, 5: words(0, 8, 0, 0) }, 'vmdk-block-used-twice'],
    ['grains that overlap', { ...sparse.at, 5: words(0, 15, 0, 0) }, 'vmdk-block-used-twice'],
    ['a grain in a table', { ...sparse.at, 5: words(0, 5, 0, 0) }, 'vmdk-block-used-twice'],
    ['one table twice', { ...sparse.at, 3: words(4, 4) }, 'vmdk-block-used-twice'],
    ['the directory as a table', { ...sparse.at, 3: words(3, 5) }, 'vmdk-block-used-twice'],
    ['a table behind the end', { ...sparse.at, 3: words(4, 40) }, 'vmdk-truncated'],
    ['a table far away', { ...sparse.at, 3: words(4, 0xffffffff) }, 'vmdk-truncated'],
  ])('%s is refused', async (_, at, rule) => {
    expect(await ruleOf('vmdk', buildVmdk({ at }))).toBe(rule)
  })
})

describe('streamOptimized', () => {
  const grains = [
    [5, noise],
    [0, fill(7)],
    [2, fill(0)],
  ] as const

  test('with a footer, in any order, is read', async () => {
    const image = buildVmwareStream(grains)
    expect(await read(image)).toEqual(diskWith(32_768, grains))
    expect((await openVmdk(readerOf(image))).layout.createType).toBe('streamOptimized')
  })

  test('whose last grain is as short as the disk is read', async () => {
    const last = [6, noise.subarray(0, 5 * 512)] as const
    expect(await read(buildVmwareStream([last], { capacity: 53 }))).toEqual(diskWith(53 * 512, [last]))
  })

  test('a grain that takes more than itself is read', async () => {
    const stored = deflateSync(noise, { level: 0 })
    const at = { 3: words(4, 0), 4: words(8, 0, 0, 0), 8: grainRecord(0, noise, stored) }
    const image = buildVmdk({ flags: streamFlags, descriptor: descriptor('streamOptimized'), at })
    expect(await read(image)).toEqual(diskWith(32_768, [[0, noise]]))
  })

  test.each([
    ['the marker of another grain', grainRecord(8, noise), 'vmdk-grain-marker'],
    ['no marker', fill(0), 'vmdk-grain-marker'],
    ['a length that no grain has', grainRecord(0, noise, new Uint8Array(8193)), 'vmdk-grain-marker'],
    ['a grain that is too short', grainRecord(0, noise.subarray(1)), 'vmdk-grain-data'],
    ['a grain that is too long', grainRecord(0, new Uint8Array(2 ** 20)), 'vmdk-grain-data'],
    ['damaged data', grainRecord(0, noise, fill(3)), 'vmdk-grain-data'],
    [
      'data that ends too early',
      grainRecord(0, noise, deflateSync(noise).subarray(0, -5)),
      'vmdk-grain-data',
    ],
  ])('%s is refused', async (_, record, rule) => {
    const at = { 3: words(4, 0), 4: words(8, 0, 0, 0), 8: record }
    const image = buildVmdk({ flags: streamFlags, descriptor: descriptor('streamOptimized'), at })
    expect(await ruleOf('vmdk', image)).toBe(rule)
  })

  test.each([
    ['marker type', -3 * 512 + 12],
    ['magic', -2 * 512],
    ['capacity', -2 * 512 + 12],
    ['table entries', -2 * 512 + 44],
    ['end marker', -512 + 8],
  ])('a footer with another %s is refused', async (_, at) => {
    const image = Buffer.from(buildVmwareStream(grains))
    image.writeUInt8(image.readUInt8(image.length + at) ^ 1, image.length + at)
    expect(await ruleOf('vmdk', image)).toBe('vmdk-footer')
  })

  test('cut at every sector it is refused', async () => {
    const image = buildVmwareStream(grains)
    for (let length = 512; length < image.length; length += 512) {
      expect(await ruleOf('vmdk', image.subarray(0, length))).toMatch(
        /^vmdk-(truncated|footer|descriptor|extents)$/,
      )
    }
  })
})

describe('other kinds are refused by name', () => {
  const kinds = [
    'monolithicFlat',
    'twoGbMaxExtentSparse',
    'twoGbMaxExtentFlat',
    'vmfs',
    'vmfsRaw',
    'fullDevice',
  ]
  test.each([
    ...kinds.map((kind) => [kind, { descriptor: descriptor(kind) }, 'vmdk-create-type'] as const),
    [
      'delta by identity',
      { descriptor: descriptor().replace('=ffffffff', '=12345678') },
      'vmdk-backing-file',
    ],
    [
      'delta by name',
      { descriptor: descriptor('monolithicSparse', 'parentFileNameHint="a.vmdk"') },
      'vmdk-backing-file',
    ],
    [
      'another extent',
      { descriptor: descriptor('monolithicSparse', 'RW 1 FLAT "/etc/passwd" 0') },
      'vmdk-extents',
    ],
    ['a flat extent', { descriptor: descriptor('monolithicSparse', '', 'RW 64 FLAT "a" 0') }, 'vmdk-extents'],
    ['version 4', { version: 4 }, 'vmdk-header'],
    ['no capacity', { capacity: 0 }, 'vmdk-virtual-size'],
    ['a grain of 3 sectors', { grain: 3 }, 'vmdk-header'],
    ['a grain of 4096 sectors', { grain: 4096 }, 'vmdk-header'],
    ['large tables', { tableEntries: 513 }, 'vmdk-tables'],
    ['a capacity beyond any directory', { capacity: 2 ** 43 }, 'vmdk-tables'],
    [
      'compression without markers',
      { flags: 0x10001, compression: 1, descriptor: descriptor('streamOptimized') },
      'vmdk-header',
    ],
    ['a directory behind the end', { directory: 40 }, 'vmdk-truncated'],
    ['no directory', { directory: 0 }, 'vmdk-truncated'],
  ] as const)('%s', async (_, parts, rule) => {
    expect(await ruleOf('vmdk', buildVmdk({ ...sparse, ...parts }))).toBe(rule)
  })

  test.each(['COWD', '# Disk DescriptorFile', '\xbe\xba\xfe\xca'])(
    'a file that starts with %j',
    async (magic) => {
      const image = buildVmdk(sparse)
      image.set(Buffer.from(magic, 'latin1'))
      expect(await ruleOf('vmdk', image)).toBe('vmdk-kind')
    },
  )
})

test('an abort ends reading with its reason', async () => {
  const controller = new AbortController()
  const disk = await openVmdk(readerOf(buildVmdk(sparse)), { signal: controller.signal })
  controller.abort(new Error('enough'))
  await expect(readAll(disk)).rejects.toThrow('enough')
})

test('a hostile directory takes no time and no memory', async () => {
  // 2^27 entries that the file does not have.
  expect(await ruleOf('vmdk', buildVmdk({ capacity: 2 ** 32, grain: 8, tableEntries: 4 }))).toBe(
    'vmdk-truncated',
  )
  // As many that it has, in a hole: a disk of 256 TiB.
  const head = buildVmdk({ capacity: 2 ** 39, tableEntries: 512, directory: 2048 })
  let largestRead = 0
  const reader = {
    size: 2048 * 512 + 2 ** 29,
    read: (offset: number, length: number) => {
      largestRead = Math.max(largestRead, length)
      const bytes = new Uint8Array(length)
      if (offset < head.length) bytes.set(head.subarray(offset, offset + length))
      return Promise.resolve(bytes)
    },
  }
  const disk = await openVmdk(reader)
  const extents = []
  for await (const extent of disk.extents()) extents.push(extent)
  expect(extents).toEqual([{ offset: 0, length: 2 ** 48, kind: 'hole' }])
  expect(largestRead).toBeLessThanOrEqual(65_536)
})
