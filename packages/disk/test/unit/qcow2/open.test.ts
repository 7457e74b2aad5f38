import { deflateRawSync } from 'node:zlib'
import { InvalidError } from '@disk-image/core'
import type { Extent } from '@disk-image/core'
import { openQcow2, planQcow2, type Qcow2Disk } from '@disk-image/disk/qcow2'
import { describe, expect, test } from 'vitest'
import { buildImage, compressedEntry, readerOf } from './build-image.ts'

const stream = deflateRawSync(new Uint8Array(512).fill(4))
const image = buildImage({
  l1: [0n, 4n * 512n, 0n],
  virtualSizeBytes: 3 * 32_768 - 512,
  l2: [5n * 512n, 0n, 1n, compressedEntry(6 * 512, stream.byteLength, 9)],
  data: [new Uint8Array(512).fill(1), Buffer.concat([stream, new Uint8Array(512 - stream.byteLength)])],
})
const expected = new Uint8Array(3 * 32_768 - 512)
expected.fill(1, 32_768, 32_768 + 512)
expected.fill(4, 32_768 + 3 * 512, 32_768 + 4 * 512)

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}

function openImage(signal?: AbortSignal): Promise<Qcow2Disk> {
  return openQcow2(readerOf(image), { signal })
}

describe('openQcow2', () => {
  test('reads any place', async () => {
    const disk = await openImage()
    expect(disk.virtualSizeBytes).toBe(expected.byteLength)
    for (const [offset, length] of [
      [0, 100_000],
      [32_767, 3],
      [33_000, 2000],
      [34_300, 1],
      [97_791, 5],
      [97_792, 1],
    ] as const) {
      expect(await disk.read(offset, length)).toEqual(expected.slice(offset, offset + length))
    }
  })

  test('is a reader itself, of what another holds', async () => {
    const parts = Array.from({ length: image.byteLength / 512 }, (_, index) => index)
    const outer = buildImage({
      l2: parts.map((index) => BigInt((5 + index) * 512)),
      data: parts.map((index) => image.subarray(index * 512, (index + 1) * 512)),
    })
    const nested = await openQcow2(await openQcow2(readerOf(outer)))
    expect(await nested.read(0, 100_000)).toEqual(expected)
  })

  test('lists extents', async () => {
    const disk = await openImage()
    const extents: Extent[] = await collect(disk.extents())
    expect(extents).toEqual([
      { offset: 0, length: 32_768, kind: 'hole' },
      { offset: 32_768, length: 512, kind: 'data' },
      { offset: 33_280, length: 512, kind: 'hole' },
      { offset: 33_792, length: 512, kind: 'zero' },
      { offset: 34_304, length: 512, kind: 'data' },
      { offset: 34_816, length: 62_976, kind: 'hole' },
    ])
  })

  test.for([1, 1000, 2 ** 20])('streams in chunks of %i bytes', async (chunkSizeBytes) => {
    const disk = await openImage()
    const options = { start: 32_700, end: 35_000, chunkSizeBytes }
    const chunks = await collect(disk.stream(options))
    expect(new Uint8Array(Buffer.concat(chunks))).toEqual(expected.slice(32_700, 35_000))
    expect(chunks.every((chunk) => chunk.byteLength <= chunkSizeBytes)).toBe(true)
  })

  test('refuses places that are none, and everything after close', async () => {
    const disk = await openImage()
    await expect(disk.read(-1, 1)).rejects.toBeInstanceOf(InvalidError)
    await expect(disk.read(0, 0.5)).rejects.toBeInstanceOf(InvalidError)
    await expect(collect(disk.stream({ chunkSizeBytes: 0 }))).rejects.toBeInstanceOf(InvalidError)
    await disk.close()
    await expect(disk.read(0, 1)).rejects.toBeInstanceOf(InvalidError)
  })

  test('ends with its signal', async () => {
    const controller = new AbortController()
    const disk = await openImage(controller.signal)
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(disk.read(0, 1)).rejects.toBe(reason)
    await expect(collect(disk.extents())).rejects.toBe(reason)
  })
})

describe('planQcow2', () => {
  test('says how large the disk is', () => {
    expect(planQcow2(image)).toMatchObject({ supported: true, sizeBytes: expected.byteLength })
  })

  test('says why not', () => {
    expect(planQcow2(image, { maximumSizeBytes: 1024 })).toEqual({
      supported: false,
      reason: 'The image is not read here: its virtual size is 97792 bytes, more than 1024',
    })
    expect(planQcow2(new Uint8Array(0))).toMatchObject({ supported: false })
  })
})
