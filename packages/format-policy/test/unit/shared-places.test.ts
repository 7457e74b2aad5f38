import { expect, test } from 'vitest'
import { Bytes } from '../build/bytes.ts'
import { buildQcow2 } from '../build/qcow2.ts'
import { allSeeds } from '../build/more-seeds.ts'
import { buildVhd } from '../build/others.ts'
import { buildVmdk } from '../build/vmdk.ts'
import { failed, inspectBytes } from '../support.ts'

const cluster = 65536
const copied = 1n << 63n

interface Bitmaps {
  readonly count: number
  readonly granularity?: number
  readonly size?: bigint
  readonly entries?: number
  readonly directoryBytes?: number
  readonly type?: number
}

/** A qcow2 whose bitmaps all have one table. */
function withBitmaps(recipe: Bitmaps): Uint8Array {
  const { count, granularity = 16, size = 1n << 30n, entries = 1, type = 1 } = recipe
  const directoryAt = 6 * cluster
  const extension = new Bytes(24).be(0, count, 4).be(8, recipe.directoryBytes ?? count * 32, 8)
  extension.be(16, directoryAt, 8)
  const data = String.fromCharCode(...extension.end())
  const image = buildQcow2({
    size,
    l1Size: Number((size + (1n << 29n) - 1n) >> 29n),
    extensions: [[0x23852875, data]],
  })
  const bytes = new Bytes(directoryAt + count * 32).put(0, image).be(95, 1, 1)
  for (let index = 0; index < count; index += 1) {
    const at = directoryAt + index * 32
    bytes
      .be(at, 5 * cluster, 8)
      .be(at + 8, entries, 4)
      .be(at + 16, type, 1)
      .be(at + 17, granularity, 1)
    bytes.be(at + 18, 5, 2).put(at + 24, `b${String(index).padStart(4, '0')}`)
  }
  return bytes.end()
}

test.each<[string, Bitmaps]>([
  ['a few', { count: 8 }],
  ['a few of a disk of 1 TiB', { count: 16, size: 1n << 40n, entries: 32 }],
])('bitmaps that a backup program keeps are taken: %s', (_name, recipe) => {
  expect(failed(inspectBytes(withBitmaps(recipe)))).toEqual([])
})

test.each<[string, Bitmaps]>([
  ['thousands of them', { count: 5000 }],
  ['each small, together large', { count: 1000, granularity: 9 }],
  ['one of a disk that has no size', { count: 1, granularity: 9, size: 1n << 50n }],
  ['a table for more than the disk', { count: 1, entries: 2 ** 27 }],
  ['a granularity of a byte', { count: 1, granularity: 0 }],
  ['a shift beyond all sizes', { count: 1, granularity: 200 }],
  ['a type that nobody knows', { count: 1, type: 7 }],
  ['a directory of 60 MiB', { count: 1, directoryBytes: 60 * 2 ** 20 }],
])('bitmaps that fill the memory of their reader are refused: %s', (_name, recipe) => {
  const image = withBitmaps(recipe)
  const result = inspectBytes(image)
  expect(failed(result)).toContain('tables')
  expect(inspectBytes(image, [1, 70_000, 300_000])).toEqual(result)
})

test('a directory that ends early is a cut file', () => {
  expect(failed(inspectBytes(withBitmaps({ count: 4, directoryBytes: 300 })))).toContain('truncated')
})

test('clusters that share their place are refused', () => {
  const size = 1n << 29n
  const normal = Array.from({ length: 8192 }, () => copied | BigInt(5 * cluster))
  expect(failed(inspectBytes(buildQcow2({ size, l2: normal })))).toEqual(['tables'])
  const compressed = Array.from({ length: 8192 }, () => (1n << 62n) | BigInt(5 * cluster))
  expect(failed(inspectBytes(buildQcow2({ size, l2: compressed })))).toEqual(['tables'])
})

function seed(name: string): Uint8Array {
  const found = allSeeds().find((one) => one.name === name)
  if (found === undefined) throw new Error(`there is no seed ${name}`)
  return found.bytes.slice()
}

test('blocks of a VDI that share their place are refused', () => {
  const image = seed('vdi')
  expect(failed(inspectBytes(image))).toEqual([])
  const view = new DataView(image.buffer)
  const table = view.getUint32(0x154, true)
  view.setUint32(0x180, 100, true)
  for (let index = 0; index < 100; index += 1) view.setUint32(table + 4 * index, 0, true)
  expect(failed(inspectBytes(image))).toEqual(['tables'])
})

test('clusters of a Parallels disk that share their place are refused', () => {
  const image = seed('parallels')
  expect(failed(inspectBytes(image))).toEqual([])
  const view = new DataView(image.buffer)
  view.setUint32(32, 100, true)
  for (let index = 0; index < 100; index += 1) view.setUint32(64 + 4 * index, 1, true)
  expect(failed(inspectBytes(image))).toEqual(['tables'])
})

test('blocks of a VHD that share their place are refused', () => {
  const image = buildVhd(3, 64n * 2n ** 20n)
  const view = new DataView(image.buffer)
  view.setUint32(540, 32)
  for (let index = 0; index < 32; index += 1) view.setUint32(1536 + 4 * index, 4)
  image.fill(0, 548, 552)
  view.setUint32(548, ~image.subarray(512, 1536).reduce((sum, byte) => sum + byte, 0) >>> 0)
  expect(failed(inspectBytes(image))).toEqual(['tables'])
})

test('two entries with one grain table are refused', () => {
  const image = buildVmdk(undefined, { capacity: 131072n })
  const view = new DataView(image.buffer)
  const directory = view.getUint32(56, true) * 512
  const first = view.getUint32(directory, true)
  for (let index = 1; index < 2; index += 1) view.setUint32(directory + 4 * index, first, true)
  expect(failed(inspectBytes(image))).toContain('tables')
})
