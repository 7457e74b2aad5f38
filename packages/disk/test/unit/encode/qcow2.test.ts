import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Disk, EncodedImage } from '@disk-image/core'
import { encodeDisk, openRaw, type Qcow2EncodeOptions } from '@disk-image/disk'
import { parseQcow2 } from '@disk-image/disk/layouts'
import { expect, test } from 'vitest'
import { Qcow2Geometry } from '../../../src/qcow2/encode-geometry.ts'
import { readerOf } from '../formats/read-all.ts'

const MiB = 1024 ** 2
const TiB = 1024 ** 4

async function head(image: EncodedImage): Promise<Uint8Array> {
  for await (const chunk of image.open()) return chunk
  throw new Error('it has no bytes')
}

async function join(image: EncodedImage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of image.open()) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

async function drain(image: EncodedImage): Promise<void> {
  for await (const chunk of image.open()) expect(chunk.length).toBeGreaterThan(0)
}

test('the header says what was asked for, and has no fault', async () => {
  const disk = await openRaw(readerOf(new Uint8Array(3 * MiB + 1).fill(7)))
  const encode = async (qcow2: Qcow2EncodeOptions): Promise<ReturnType<typeof parseQcow2>> =>
    parseQcow2(await head(await encodeDisk(disk, { format: 'qcow2', qcow2, workers: 0 })))
  const usual = { problems: [], sizeBytes: 3 * MiB + 512, refcountOrder: 4, snapshotCount: 0 }
  expect(await encode({})).toMatchObject({ ...usual, version: 3, clusterSize: 65_536, incompatible: 0n })
  expect(await encode({ version: 2, compression: 'zlib' })).toMatchObject({ ...usual, version: 2 })
  expect(await encode({ clusterSizeBytes: 2 * MiB, compression: 'zstd' })).toMatchObject({
    ...usual,
    clusterSize: 2 * MiB,
    compression: 'zstd',
    isCompressionKnown: true,
  })
})

test.each<[Qcow2EncodeOptions, string]>([
  [{ clusterSizeBytes: 2048 }, '2048'],
  [{ clusterSizeBytes: 4 * MiB }, '4194304'],
  [{ clusterSizeBytes: 100_000 }, '100000'],
  [{ version: 2, compression: 'zstd' }, 'version 3'],
  // @ts-expect-error -- no such version
  [{ version: 4 }, 'version 4'],
  // @ts-expect-error -- no such compression
  [{ compression: 'lz4' }, 'lz4'],
])('%j makes no qcow2', async (qcow2, reason) => {
  const disk = await openRaw(readerOf(new Uint8Array(512)))
  await expect(encodeDisk(disk, { format: 'qcow2', qcow2 })).rejects.toThrow(reason)
})

test.each([0, 10, 1.5, Number.NaN])('level %d compresses nothing', async (compressionLevel) => {
  const disk = await openRaw(readerOf(new Uint8Array(512)))
  const options = { format: 'qcow2', qcow2: { compression: 'zlib' }, compressionLevel } as const
  await expect(encodeDisk(disk, options)).rejects.toThrow(`level ${compressionLevel}`)
})

test('zeros among the data of a disk that is stored in large blocks are left out', async () => {
  const content = new Uint8Array(12 * MiB)
  for (const at of [100, 3 * MiB, 11 * MiB]) content.fill(7, at, at + 5000)
  const raw = await openRaw(readerOf(content), { holes: [{ offset: 4 * MiB, length: 4 * MiB }] })
  const close = (): Promise<void> => raw.close()
  const blocks: Disk = {
    size: raw.size,
    close,
    read: (offset, length, into) => raw.read(offset, length, into),
    copyTo: (receiver, options) => raw.copyTo(receiver, options),
    [Symbol.asyncDispose]: close,
    // oxlint-disable-next-line typescript/require-await -- as a disk's are
    async *extents() {
      yield* raw.storedExtents()
    },
  }
  for (const compression of ['none', 'zlib'] as const) {
    for (const measure of [true, false]) {
      const options = { format: 'qcow2', qcow2: { compression }, workers: 0, measure } as const
      const [one, other] = await Promise.all([encodeDisk(raw, options), encodeDisk(blocks, options)])
      const bytes = await join(one)
      expect(bytes.length).toBeLessThan(MiB)
      expect((await join(other)).equals(bytes)).toBe(true)
    }
  }
})

test('places are given without gap or overlap, however large the disk', () => {
  for (const [sizeBytes, clusterSizeBytes] of [
    [512, 4096],
    [8 * TiB, 4096],
    [16 * TiB, 65_536],
    [64 * TiB, 2 * MiB],
  ] as const) {
    const geometry = new Qcow2Geometry(sizeBytes, { clusterSizeBytes })
    const { perBlock, front, frontBlocks } = geometry
    let last = front - 1
    let wrong = 0
    for (let ordinal = 0; ordinal < 3 * perBlock; ordinal += 1) {
      const cluster = geometry.clusterAt(ordinal)
      const isBlock = cluster > frontBlocks * perBlock && (cluster - 1) % perBlock === 0
      if (cluster - last !== (isBlock ? 2 : 1)) wrong += 1
      last = cluster
    }
    expect([wrong, geometry.blockCluster(0), geometry.blockCluster(frontBlocks)]).toEqual([
      0,
      front - frontBlocks,
      frontBlocks * perBlock,
    ])
  }
  expect(() => new Qcow2Geometry(16 * TiB, { clusterSizeBytes: 4096 })).toThrow('larger clusters')
  const full = new Qcow2Geometry(8 * TiB, { clusterSizeBytes: 4096 })
  expect(() => full.requireCounted(full.totalClusters(2 ** 31 + 2 ** 22))).toThrow(
    'larger ones hold this disk',
  )
})

test('what is compressed twice, and became other between, is an error', async () => {
  let reads = 0
  const read = (offset: number, length: number): Promise<Uint8Array> => {
    reads += 1
    const bytes = Uint8Array.from({ length }, (_, at) => ((offset + at) * (reads > 3 ? 31 : 1)) >> 3)
    return Promise.resolve(bytes)
  }
  const disk = await openRaw({ size: 3 * MiB, read })
  const qcow2 = { compression: 'zlib' } as const
  const image = await encodeDisk(disk, { format: 'qcow2', qcow2, workers: 0 })
  await expect(drain(image)).rejects.toMatchObject({ code: 'DISK_CHANGED' })
})

test('a spool is empty, and what it refuses is an error', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'disk-image-spool-'))
  try {
    await using file = await open(path.join(folder, 'spool'), 'w+')
    const disk = await openRaw(readerOf(new Uint8Array(3 * MiB).fill(7)))
    const encode = (write: () => Promise<void>): Promise<EncodedImage> =>
      encodeDisk(disk, {
        format: 'qcow2',
        qcow2: { compression: 'zlib' },
        workers: 0,
        spool: { file, write },
      })
    const full = await encode(() => Promise.reject(new Error('ENOSPC')))
    await expect(drain(full)).rejects.toThrow('ENOSPC')
    await file.write('not empty')
    const image = await encode(() => Promise.resolve())
    await expect(drain(image)).rejects.toThrow('not empty')
  } finally {
    await rm(folder, { recursive: true })
  }
})
