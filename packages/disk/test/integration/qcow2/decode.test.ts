import { readdirSync } from 'node:fs'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { decodeQcow2, openQcow2, planQcow2 } from '@disk-image/disk/qcow2'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { feedStream } from '../../feed-stream.ts'
import { MemoryTarget } from '../../memory-target.ts'
import { Random } from '../../random.ts'
import { qemu, temporaryDirectory } from './tools.ts'

const MiB = 1024 ** 2
let directory: Awaited<ReturnType<typeof temporaryDirectory>>
let raw: Buffer

/** An image of files with code, text and noise in it. */
const inDirectory = (name: string): string => path.join(directory.path, name)

beforeAll(async () => {
  requireTool('qemu-img')
  requireTool('qemu-io')
  directory = await temporaryDirectory()
  raw = Buffer.alloc(48 * MiB)
  const program = await readFile(process.execPath)
  program.copy(raw, 3 * MiB, 0, 24 * MiB)
  const random = new Random(1)
  for (let offset = 32 * MiB; offset < 40 * MiB; offset += 4) raw.writeUInt32LE(random.below(2 ** 32), offset)
  await writeFile(inDirectory('disk.raw'), raw)
  const convert = ['convert', '-f', 'raw', '-O', 'qcow2', inDirectory('disk.raw')]
  await qemu('qemu-img', [...convert, inDirectory('plain.qcow2')])
  await qemu('qemu-img', [...convert, '-c', inDirectory('zlib.qcow2')])
  await qemu('qemu-img', [...convert, '-c', '-o', 'compression_type=zstd', inDirectory('zstd.qcow2')])
  await makeLivedIn(inDirectory('lived-in.qcow2'))
})
afterAll(() => directory[Symbol.asyncDispose]())

/** Clusters in disorder, and an L2 table at the very end of the file. */
async function makeLivedIn(file: string): Promise<void> {
  await qemu('qemu-img', [
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    'cluster_size=4096',
    file,
    String(raw.byteLength),
  ])
  const random = new Random(2)
  const writes = Array.from({ length: 400 }, () => {
    const offset = random.below(raw.byteLength / 4096) * 4096
    const length = Math.min(raw.byteLength - offset, 4096 * (1 + random.below(20)))
    return ['-c', `write -q -s ${inDirectory('disk.raw')} ${offset} ${length}`]
  })
  await qemu('qemu-io', ['-f', 'qcow2', ...writes.flat(), file])
}

async function expectedOf(name: string): Promise<Buffer> {
  await qemu('qemu-img', [
    'convert',
    '-f',
    'qcow2',
    '-O',
    'raw',
    inDirectory(name),
    inDirectory('expected.raw'),
  ])
  return readFile(inDirectory('expected.raw'))
}

describe('a qcow2 file that is still being downloaded', () => {
  const random = new Random(3)
  const steps: readonly (readonly [name: string, step: () => number])[] = [
    ['in even steps', () => 256 * 1024],
    ['in random steps', () => random.below(2 * MiB)],
    ['in bytes, then at once', () => (random.chance(0.9) ? random.below(4096) : 100 * MiB)],
  ]
  const names = ['plain.qcow2', 'zlib.qcow2', 'zstd.qcow2', 'lived-in.qcow2']

  test.for(names.flatMap((name) => steps.map(([pace, step]) => [name, pace, step] as const)))(
    'is decoded right: %s, %s',
    async ([name, , step]) => {
      const bytes = await readFile(inDirectory(name))
      const target = new MemoryTarget(raw.byteLength, 1)
      const { result } = await feedStream({ file: inDirectory('spool'), bytes, step, target, workers: 2 })
      expect(result.virtualSizeBytes).toBe(raw.byteLength)
      expect(result.bytesWritten).toBe(target.writtenBytes)
      expect(target.bytes.equals(await expectedOf(name))).toBe(true)
    },
  )

  test('is written before it has arrived', async () => {
    const bytes = await readFile(inDirectory('zlib.qcow2'))
    const target = new MemoryTarget(raw.byteLength, 1)
    let sent = 0
    // The second half does not come before 4 MiB of the first one are written.
    const step = (): number => (sent += MiB) && MiB
    const wait = async (): Promise<void> => {
      while (sent > bytes.byteLength / 2 && target.writtenBytes < 4 * MiB) await delay(5)
    }
    await feedStream({ file: inDirectory('spool'), bytes, step, wait, target, workers: 1 })
    expect(target.bytes.equals(raw)).toBe(true)
  })

  test('is refused where its end is missing', async () => {
    const bytes = (await readFile(inDirectory('plain.qcow2'))).subarray(0, -MiB)
    const target = new MemoryTarget(raw.byteLength, 1)
    const decoding = feedStream({ file: inDirectory('spool'), bytes, step: () => MiB, target })
    await expect(decoding).rejects.toMatchObject({ rule: 'qcow2-cluster-outside-file' })
  })
})

describe('an abort', () => {
  /** Threads of this process whose number is no coincidence: workers have four each at most. */
  const threads = (): number => readdirSync('/proc/self/task').length

  test.for(['plain.qcow2', 'zlib.qcow2'])('at any moment leaves nothing running: %s', async (name) => {
    const random = new Random(4)
    const write = (): Promise<void> => delay(100)
    // The pools of node itself exist from here on.
    await decodeQcow2({ source: inDirectory(name), target: { write }, workers: 2 })
    await delay(50)
    const before = threads()
    for (let round = 0; round < 12; round += 1) {
      const controller = new AbortController()
      const reason = new Error(`round ${round}`)
      const { signal } = controller
      // However slow the machine: the last write of all waits for the abort, so none is done before it.
      let writes = 0
      const aborted = new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
      const held = (): Promise<void> => {
        writes += 1
        return writes > 3 ? aborted : delay(20)
      }
      const target = { write: held }
      const decoding = decodeQcow2({ source: inDirectory(name), target, workers: 2, signal })
      // oxlint-disable-next-line vitest/valid-expect -- awaited below, after the abort
      const rejection = expect(decoding).rejects.toBe(reason)
      await delay(random.below(120))
      const start = performance.now()
      controller.abort(reason)
      await rejection
      expect(performance.now() - start).toBeLessThan(1000)
    }
    await delay(50)
    expect(threads()).toBeLessThanOrEqual(before)
  })
})

describe('memory', () => {
  test('stays flat for an image with a terabyte of nothing', async () => {
    const file = inDirectory('sparse.qcow2')
    await qemu('qemu-img', ['create', '-q', '-f', 'qcow2', file, '1T'])
    await qemu('qemu-io', ['-f', 'qcow2', '-c', 'write -q -P 5 700G 64k', '-c', 'write -q -z 100G 1G', file])
    const before = process.memoryUsage().rss
    const written: number[] = []
    const write = (chunk: Uint8Array, offset: number): Promise<void> => {
      written.push(offset, chunk.byteLength)
      return Promise.resolve()
    }
    const result = await decodeQcow2({ source: file, target: { write } })
    expect(written).toEqual([700 * 1024 ** 3, 65_536])
    expect(result.virtualSizeBytes).toBe(2 ** 40)
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MiB)
  })

  test('stays bounded for an L1 table of 32 MiB that names nothing but the same table', async () => {
    const file = inDirectory('hostile.qcow2')
    await qemu('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=2M', file, '1M'])
    await truncate(file, 64 * MiB)
    const bytes = await readFile(file)
    const entries = 2 ** 22
    bytes.writeBigUInt64BE(2n ** 53n - 512n, 24)
    bytes.writeUInt32BE(entries, 36)
    const offset = Number(bytes.readBigUInt64BE(40))
    for (let index = 0; index < 2 ** 14; index += 1)
      bytes.writeBigUInt64BE(48n * 2n ** 20n, offset + index * 8)
    await writeFile(file, bytes)
    const write = (): Promise<void> => Promise.resolve()
    const before = process.memoryUsage().rss
    const decoding = decodeQcow2({ source: file, target: { write } })
    await expect(decoding).rejects.toMatchObject({ rule: 'qcow2-cluster-used-twice' })
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MiB)
  })
})

describe('random access', () => {
  test('returns what qemu reads, at any place', async () => {
    const random = new Random(5)
    for (const name of ['zlib.qcow2', 'lived-in.qcow2']) {
      const bytes = await readFile(inDirectory(name))
      const expected = await expectedOf(name)
      expect(planQcow2(bytes)).toMatchObject({ supported: true, sizeBytes: raw.byteLength })
      const read = (offset: number, length: number): Promise<Uint8Array> =>
        Promise.resolve(bytes.subarray(offset, offset + length))
      await using disk = await openQcow2({ size: bytes.byteLength, read })
      for (let round = 0; round < 200; round += 1) {
        const offset = random.below(raw.byteLength + 1000)
        const length = random.below(300_000)
        const part = Buffer.from(await disk.read(offset, length))
        expect(part.equals(expected.subarray(offset, offset + length)), `${name} at ${offset}`).toBe(true)
      }
    }
  })
})
