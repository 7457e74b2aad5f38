import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import { InvalidError, type Progress } from '@disk-image/core'
import { decodeQcow2, openQcow2, planQcow2, Qcow2DecodeError } from '@disk-image/disk/qcow2'
import type { Qcow2DecodeResult } from '@disk-image/disk/qcow2'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildImage, compressedEntry, readerOf } from './build-image.ts'
import { at, cluster, mixed, packed, refusals, type Refusal } from './sample-images.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-qcow2-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

async function store(bytes: Uint8Array): Promise<string> {
  const file = path.join(directory, 'image.qcow2')
  await writeFile(file, bytes)
  return file
}

interface Decoded {
  readonly result: Qcow2DecodeResult
  readonly raw: Uint8Array
}

async function decode(bytes: Uint8Array, workers = 0): Promise<Decoded> {
  const plan = planQcow2(bytes)
  const raw = new Uint8Array(plan.supported ? plan.layout.sizeBytes : 0)
  const write = (chunk: Uint8Array, offset: number): Promise<void> => {
    raw.set(chunk, offset)
    return Promise.resolve()
  }
  const result = await decodeQcow2({ source: await store(bytes), target: { write }, workers })
  return { result, raw }
}

describe('decodeQcow2', () => {
  test.for([0, 1, 2])(
    'decodes every kind of cluster with %i workers',
    { timeout: 30_000 },
    async (workers) => {
      const { result, raw } = await decode(buildImage(mixed), workers)
      expect(result).toEqual({
        virtualSizeBytes: 32_768,
        bytesWritten: 4 * 512,
        clusters: { normal: 3, compressed: 1, zero: 2, unallocated: 58 },
      })
      const expected = new Uint8Array(32_768)
      for (const [index, value] of [1, 0, 0, 2, 0, 4, 5].entries()) {
        expected.fill(value, index * 512, (index + 1) * 512)
      }
      expect(raw).toEqual(expected)
    },
  )

  test('decodes zstd', async () => {
    const stream = zstdCompressSync(cluster(9))
    const image = buildImage({
      compressionType: 1,
      l2: [compressedEntry(5 * 512, stream.byteLength, 9)],
      data: [packed(0, stream)],
    })
    const { raw } = await decode(image)
    expect(raw.subarray(0, 512)).toEqual(cluster(9))
  })

  test('reads a last cluster that the end of the file cuts as qemu does', async () => {
    const image = buildImage({ l2: [at(5)], data: [cluster(7)] })
    const { raw, result } = await decode(image.subarray(0, image.byteLength - 212))
    expect(raw.subarray(0, 512)).toEqual(Uint8Array.from([...cluster(7, 300), ...cluster(0, 212)]))
    expect(result.bytesWritten).toBe(300)
  })

  test('merges neighbours into large writes', async () => {
    const clusterSize = 4096
    const l2 = Array.from({ length: 512 }, (_, index) => BigInt((5 + index) * clusterSize))
    const image = buildImage({
      clusterBits: 12,
      l2,
      data: l2.map((_, index) => cluster(index & 255, clusterSize)),
    })
    const lengths: number[] = []
    const write = (chunk: Uint8Array): Promise<void> => {
      lengths.push(chunk.byteLength)
      return Promise.resolve()
    }
    await decodeQcow2({ source: await store(image), target: { write } })
    expect(lengths).toEqual([2 ** 21])
  })

  test.for<Refusal>(refusals)('refuses %s: %o', async ([rule, parts]) => {
    const error: unknown = await decode(buildImage(parts)).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(Qcow2DecodeError)
    expect(error).toMatchObject({ code: 'QCOW2_DECODE', kind: 'refused', rule })
  })

  test('refuses a sum of overlapping streams', async () => {
    // A stored block whose content is itself a stream: two clusters from the same bytes.
    const inner = deflateRawSync(cluster(4))
    const stored = deflateRawSync(packed(0, inner), { level: 0 })
    const image = buildImage({
      l2: [compressedEntry(2560, stored.byteLength, 9), compressedEntry(2565, inner.byteLength, 9)],
      data: [packed(0, stored.subarray(0, 512)), packed(0, stored.subarray(512))],
    })
    await expect(decode(image)).rejects.toMatchObject({ reason: 'two compressed clusters share bytes' })
  })

  test('reports progress up to the virtual size', async () => {
    const reports: Progress[] = []
    const write = (): Promise<void> => Promise.resolve()
    const source = await store(buildImage(mixed))
    await decodeQcow2({ source, target: { write }, onProgress: (progress) => reports.push(progress) })
    expect(reports.at(-1)).toEqual({ stage: 'convert', completed: 32_768, total: 32_768, unit: 'bytes' })
    const completed = reports.map((report) => report.completed)
    expect(completed).toEqual(completed.toSorted((left, right) => left - right))
  })

  test("passes the target's and the listener's errors on", async () => {
    const source = await store(buildImage(mixed))
    const failure = new Error('no space')
    const refuse = (): Promise<void> => Promise.reject(failure)
    await expect(decodeQcow2({ source, target: { write: refuse } })).rejects.toBe(failure)
    const write = (): Promise<void> => Promise.resolve()
    const onProgress = (): never => {
      throw failure
    }
    await expect(decodeQcow2({ source, target: { write }, onProgress })).rejects.toBe(failure)
  })

  test('leaves a handle open', async () => {
    const handle = await open(await store(buildImage(mixed)), 'r')
    const write = (): Promise<void> => Promise.resolve()
    await decodeQcow2({ source: handle, target: { write } })
    await handle.close()
  })

  test('refuses what is no regular file', async () => {
    const write = (): Promise<void> => Promise.resolve()
    await expect(decodeQcow2({ source: '/dev/null', target: { write } })).rejects.toBeInstanceOf(InvalidError)
  })

  test('ends at an abort', async () => {
    const source = await store(buildImage(mixed))
    const reason = new Error('enough')
    const controller = new AbortController()
    const write = (): Promise<void> => {
      controller.abort(reason)
      return Promise.resolve()
    }
    await expect(decodeQcow2({ source, target: { write }, signal: controller.signal })).rejects.toBe(reason)
    await expect(decodeQcow2({ source, target: { write }, signal: controller.signal })).rejects.toBe(reason)
  })
})

describe('hostile images', () => {
  const good = buildImage(mixed)
  const patches = fc.array(
    fc.record({
      // Tables more often than data.
      offset: fc.oneof(
        fc.nat(119),
        fc.nat(63).map((place) => place + 1536),
        fc.nat(63).map((place) => place + 2048),
        fc.nat(good.byteLength - 1),
      ),
      bit: fc.nat(7),
    }),
    { minLength: 1, maxLength: 6 },
  )

  test('meet a result or a named error, the same through both ways', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(patches, fc.nat(good.byteLength), fc.nat(9), async (flips, length, cut) => {
        const bytes = good.slice(0, cut === 0 ? length : good.byteLength)
        for (const { offset, bit } of flips) {
          if (offset < bytes.byteLength) bytes[offset] = (bytes[offset] ?? 0) ^ (1 << bit)
        }
        const plan = planQcow2(bytes, { maximumSizeBytes: 2 ** 20 })
        if (!plan.supported) return
        try {
          const { raw } = await decode(bytes)
          const disk = await openQcow2(readerOf(bytes))
          expect(await disk.read(0, disk.virtualSizeBytes + 1)).toEqual(raw)
        } catch (error) {
          if (!(error instanceof Qcow2DecodeError)) throw error
        }
      }),
      { numRuns: 300 },
    )
  })
})
