import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Worker } from 'node:worker_threads'
import { createDecodeWorkers, type DecodeWorkers } from '@disk-image/disk'
import { decodeQcow2 } from '@disk-image/disk/qcow2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MemoryTarget } from '../../memory-target.ts'
import { qemu, temporaryDirectory } from './tools.ts'

const sizeBytes = 8 * 1024 ** 2
const kinds = ['zlib 4096', 'zstd 4096', 'zlib 65536', 'zstd 65536', 'zlib 2097152', 'zstd 2097152']

interface Sample {
  readonly file: string
  readonly raw: Buffer
}

let directory: Awaited<ReturnType<typeof temporaryDirectory>>
const samples: Sample[] = []
const started: Worker[] = []
const note = (worker: Worker): void => void started.push(worker)

beforeAll(async () => {
  directory = await temporaryDirectory()
  for (const kind of kinds) {
    const [compression = '', clusterSize = ''] = kind.split(' ')
    const file = path.join(directory.path, `${compression}-${clusterSize}.qcow2`)
    const disk = `${file}.raw`
    // Half of each KiB compresses, and no two disks are alike.
    const raw = Buffer.alloc(sizeBytes, 'disk')
    for (let offset = 0; offset < sizeBytes; offset += 1024) raw.set(randomBytes(512), offset)
    await writeFile(disk, raw)
    const options = `compression_type=${compression},cluster_size=${clusterSize}`
    await qemu('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, disk, file])
    samples.push({ file, raw })
  }
  process.on('worker', note)
})
afterAll(async () => {
  process.off('worker', note)
  await directory[Symbol.asyncDispose]()
})

async function decode({ file, raw }: Sample, workers: DecodeWorkers, signal?: AbortSignal): Promise<boolean> {
  const target = new MemoryTarget(raw.byteLength)
  await decodeQcow2({ source: file, target, workers, signal })
  return target.bytes.equals(raw)
}

test('images of every kind are decoded at once by two threads, which end by themselves', async () => {
  started.length = 0
  const workers = createDecodeWorkers(2)
  for (let round = 0; round < 2; round += 1) {
    const right = await Promise.all([...samples, ...samples].map((sample) => decode(sample, workers)))
    expect(right).toEqual([...samples, ...samples].map(() => true))
  }
  expect(started).toHaveLength(2)
  await Promise.all(started.map((worker) => once(worker, 'exit')))
  // With the next image they start again.
  expect(await decode(samples[0] as Sample, workers)).toBe(true)
  expect(started).toHaveLength(4)
  await workers.close()
})

test('one that is damaged and one that is given up fail alone', async () => {
  await using workers = createDecodeWorkers(2)
  const [first, second, ...others] = samples as [Sample, Sample, ...Sample[]]
  const damaged = await readFile(first.file)
  damaged.fill(0xff, damaged.byteLength - 20_000)
  const file = path.join(directory.path, 'damaged.qcow2')
  await writeFile(file, damaged)
  const abort = new AbortController()
  const reason = new Error('enough')
  const outcomes = await Promise.allSettled([
    decode({ file, raw: first.raw }, workers),
    decode(second, workers, abort.signal),
    ...others.map(async (sample, index) => {
      if (index === 0) setTimeout(() => abort.abort(reason), 2)
      return decode(sample, workers)
    }),
  ])
  expect(outcomes).toEqual([
    { status: 'rejected', reason: expect.objectContaining({ rule: 'qcow2-compressed-data' }) as unknown },
    { status: 'rejected', reason },
    ...others.map(() => ({ status: 'fulfilled', value: true })),
  ])
})

test('a thread that dies takes its images along; the next ones get new threads', async () => {
  started.length = 0
  await using workers = createDecodeWorkers(1)
  const both = Promise.allSettled(samples.slice(0, 2).map((sample) => decode(sample, workers)))
  while (started.length === 0) await new Promise((resolve) => setImmediate(resolve))
  const [worker] = started
  await once(worker as Worker, 'message')
  await worker?.terminate()
  for (const outcome of await both) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'A worker thread ended early' } })
  }
  expect(await decode(samples[2] as Sample, workers)).toBe(true)
  expect(started).toHaveLength(2)
})

test('only threads of createDecodeWorkers are taken', async () => {
  const own: DecodeWorkers = { close: async () => undefined, [Symbol.asyncDispose]: async () => undefined }
  await expect(decode(samples[0] as Sample, own)).rejects.toMatchObject({
    code: 'INVALID',
    reason: expect.stringContaining('createDecodeWorkers') as unknown,
  })
})
