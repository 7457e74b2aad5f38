import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import {
  openDisk,
  openStreamDecoder,
  planStream,
  type StreamDecoder,
  type StreamDecoderOptions,
} from '@disk-image/disk'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { MemoryTarget } from '../../memory-target.ts'
import { buildParallels, buildVdi, buildVhdx } from './build-others.ts'
import { buildVmdk, buildVmwareStream, descriptor, grainRecord, streamFlags, words } from './build-vmdk.ts'
import { readAll, readerOf } from './read-all.ts'

const MiB = 1024 ** 2
let folder: string
let spool: FileHandle

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'disk-image-stream-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))
beforeEach(async () => {
  spool = await open(path.join(folder, 'spool'), 'w+')
  return () => spool.close()
})

type Parts = Partial<StreamDecoderOptions> & { readonly target: StreamDecoderOptions['target'] }

async function decoderOf(format: string, image: Uint8Array, parts: Parts): Promise<StreamDecoder> {
  const plan = planStream(format, image.subarray(0, MiB))
  if (!plan.supported) throw new Error(plan.reason)
  const write = async (chunk: Uint8Array, offset: number): Promise<void> => {
    await spool.write(chunk, 0, chunk.length, offset)
  }
  return openStreamDecoder(plan.layout, { workers: 0, spool: { file: spool, write }, ...parts })
}

async function feed(decoder: StreamDecoder, image: Uint8Array, step = 100_000): Promise<void> {
  for (let at = 0; at < image.length; at += step) await decoder.write(image.subarray(at, at + step), at)
}

const noZero = { zero: () => Promise.resolve() }

/** The disk of an image, decoded as a stream. */
async function streamed(format: string, image: Uint8Array, sizeBytes: number): Promise<Buffer> {
  const memory = new MemoryTarget(sizeBytes, 1)
  const decoder = await decoderOf(format, image, {
    target: { ...noZero, write: (...all) => memory.write(...all) },
  })
  await feed(decoder, image)
  expect(await decoder.end()).toEqual({ virtualSizeBytes: sizeBytes, bytesWritten: memory.writtenBytes })
  await decoder.close()
  return memory.bytes
}

/** Grains 1 and 5 of 8, in tables behind them. */
const lateTables = buildVmdk({
  at: {
    3: words(36, 37),
    36: words(0, 8, 0, 0),
    37: words(0, 16, 0, 0),
    8: new Uint8Array(4096).fill(1),
    16: new Uint8Array(4096).fill(5),
  },
})

test.each([
  ['vdi', buildVdi()],
  ['vdi', buildVdi({ sizeBytes: 2 * MiB + 100 })],
  ['vdi', buildVdi({ sizeBytes: 0 })],
  ['parallels', buildParallels()],
  ['parallels', buildParallels({ sectors: 24, entries: [1, 0, 9], fileBytes: 11 * 512 + 5 })],
  ['vhdx', buildVhdx()],
  ['vmdk', lateTables],
] as const)('%s: a stream gives what is read anywhere', async (format, image) => {
  const expected = await readAll(await openDisk(readerOf(image), format))
  expect((await streamed(format, image, expected.length)).equals(expected)).toBe(true)
})

const noise = (seed: number, length = 4096): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => Math.imul(at + seed, 2_654_435_761) >>> 13)
const grains = [
  [5, noise(5)],
  [0, noise(1)],
  [2, new Uint8Array(4096)],
  [6, noise(6)],
] as const

type At = Record<number, Uint8Array>
type Places = [number, number, number]

/** A stream whose tables come first, as qemu-img writes them: grains 0, 2 and 5. */
function tablesFirst(
  change: (at: Record<number, Uint8Array>, places: readonly number[]) => void = () => {},
): Uint8Array {
  const records = [grainRecord(0, noise(1)), grainRecord(16, noise(2)), grainRecord(40, noise(5))]
  const places = records.map((_, index) =>
    records.slice(0, index).reduce((place, { length }) => place + length / 512, 6),
  )
  const [first = 0, second = 0, third = 0] = places
  const at: Record<number, Uint8Array> = {
    3: words(4, 5),
    4: words(first, 0, second, 0),
    5: words(0, third, 0, 0),
  }
  for (const [index, record] of records.entries()) at[places[index] ?? 0] = record
  change(at, places)
  return buildVmdk({ flags: streamFlags, descriptor: descriptor('streamOptimized'), at })
}

describe('streamOptimized: a stream gives what is read anywhere', () => {
  const large = [
    [1, noise(3, 1024 ** 2)],
    [3, noise(4, 1024 ** 2)],
  ] as const
  test.each([
    ['tables behind all grains', buildVmwareStream(grains)],
    ['each table behind its grains', buildVmwareStream(grains, { isInterleaved: true })],
    ['no grains', buildVmwareStream([])],
    ['a short last grain', buildVmwareStream([[6, noise(6, 5 * 512)]], { capacity: 53 })],
    ['grains of 1 MiB', buildVmwareStream(large, { grain: 2048, capacity: 4 * 2048 })],
    ['tables in front', tablesFirst()],
    // From there on there are only the tables.
    [
      'a gap before the last grain',
      tablesFirst((at, [, , third = 0]) => {
        at[third + 2] = at[third] as Uint8Array
        at[third] = new Uint8Array(512)
        at[5] = words(0, third + 2, 0, 0)
      }),
    ],
  ])('%s', async (_, image) => {
    const expected = await readAll(await openDisk(readerOf(image), 'vmdk'))
    expect((await streamed('vmdk', image, expected.length)).equals(expected)).toBe(true)
  })

  test.each([
    ['a grain that no table has', 'vmdk-grain-tables', (at: At) => (at[5] = words(0, 0, 0, 0))],
    ['another place in its table', 'vmdk-grain-tables', (at: At) => (at[4] = words(7, 0, 0, 0))],
    [
      'a grain twice',
      'vmdk-block-used-twice',
      (at: At, [, , third]: Places) => (at[third] = grainRecord(0, noise(1))),
    ],
    [
      'a table over grains',
      'vmdk-block-used-twice',
      (at: At, [first]: Places) => (at[3] = words(4, first + 2)),
    ],
    [
      'a grain that is not there',
      'vmdk-grain-marker',
      (at: At, [first]: Places) => (at[4] = words(first, 39, 0, 0)),
    ],
    [
      'a damaged grain',
      'vmdk-grain-data',
      (at: At, [first]: Places) => (at[first] = grainRecord(0, noise(1), noise(8))),
    ],
    [
      'a grain that is too long',
      'vmdk-grain-data',
      (at: At, [, , third]: Places) => (at[third] = grainRecord(40, new Uint8Array(10_000))),
    ],
  ] as const)('but for %s, which is refused', async (_, rule, change) => {
    const image = tablesFirst((at, places) => void change(at, places as Places))
    await expect(streamed('vmdk', image, 32_768)).rejects.toMatchObject({ rule })
  })

  test('but for one that is cut, which is refused', async () => {
    const image = buildVmwareStream(grains, { isInterleaved: true })
    for (let length = 7 * 512; length < image.length; length += 200) {
      await expect(streamed('vmdk', image.subarray(0, length), 32_768)).rejects.toMatchObject({
        rule: expect.stringMatching(/^vmdk-(truncated|footer|block-used-twice)$/) as string,
      })
    }
  })
})

test('the size is told before the target is called, and who does not want it ends the decoding', async () => {
  const calls: unknown[] = []
  const target = {
    write: () => Promise.resolve(void calls.push('write')),
    zero: () => Promise.resolve(void calls.push('zero')),
  }
  const onSize = (size: number | undefined): Promise<void> => Promise.resolve(void calls.push(size))
  const decoder = await decoderOf('vhdx', buildVhdx(), { target, onSize, writeZeros: true })
  await feed(decoder, buildVhdx(), MiB)
  await decoder.end()
  expect(calls).toEqual([3 * MiB, 'write', 'write', 'zero'])

  const refusing = await decoderOf('vhdx', buildVhdx(), {
    target,
    onSize: () => Promise.reject(new Error('too large')),
  })
  await expect(feed(refusing, buildVhdx(), MiB)).rejects.toThrow('too large')
  await expect(refusing.end()).rejects.toThrow('too large')
})

test.each([
  ['vdi', buildVdi({ map: [0xfffffffe, 1, 0xffffffff] }), 3 * MiB],
  ['parallels', buildParallels({ sectors: 24, entries: [1, 0, 9], fileBytes: 11 * 512 + 5 }), 24 * 512],
] as const)('%s: with its zeros, every byte of the disk is said once', async (format, image, sizeBytes) => {
  const said = new Uint8Array(sizeBytes)
  const say = (offset: number, length: number): Promise<void> => {
    expect(length).toBeGreaterThan(0)
    for (let at = offset; at < offset + length; at += 1) said[at] = (said[at] ?? 255) + 1
    return Promise.resolve()
  }
  const target = { write: (bytes: Uint8Array, offset: number) => say(offset, bytes.length), zero: say }
  const decoder = await decoderOf(format, image, { target, writeZeros: true })
  await feed(decoder, image)
  await decoder.end()
  expect(said.every((count) => count === 1)).toBe(true)
})

describe('what fails ends the decoding, and is passed on as it is', () => {
  const image = buildVdi()

  test('the target, while it comes and out of the spool', async () => {
    for (const step of [100_000, image.length]) {
      const target = { ...noZero, write: () => Promise.reject(new Error('no room')) }
      const decoder = await decoderOf('vdi', image, { target })
      await expect(feed(decoder, image, step).then(() => decoder.end())).rejects.toThrow('no room')
      await expect(decoder.end()).rejects.toThrow('no room')
      await decoder.close()
    }
  })

  test('the spool', async () => {
    const target = { ...noZero, write: () => Promise.resolve() }
    const full = { file: spool, memoryBytes: 0, write: () => Promise.reject(new Error('disk full')) }
    const decoder = await decoderOf('vdi', image, { target, spool: full })
    await expect(feed(decoder, image)).rejects.toThrow('disk full')
    await decoder.close()
  })

  test('an abort', async () => {
    const controller = new AbortController()
    const target = { ...noZero, write: () => Promise.resolve() }
    const decoder = await decoderOf('vdi', image, { target, signal: controller.signal })
    await decoder.write(image.subarray(0, 1_200_000), 0)
    controller.abort(new Error('enough'))
    await expect(decoder.write(image.subarray(1_200_000), 1_200_000)).rejects.toThrow('enough')
    await expect(decoder.end()).rejects.toThrow('enough')
  })

  test('a gap in the stream', async () => {
    const decoder = await decoderOf('vdi', image, { target: { ...noZero, write: () => Promise.resolve() } })
    await expect(decoder.write(image, 1)).rejects.toThrow(InvalidError)
    await decoder.close()
  })

  test.each([
    ['the head of the map', 514, 'vdi-truncated'],
    ['the last block', image.length - 1, 'vdi-block-outside-file'],
    ['a block', MiB + 1024, 'vdi-block-outside-file'],
  ])('an end within %s', async (_, length, rule) => {
    const decoder = await decoderOf('vdi', image, { target: { ...noZero, write: () => Promise.resolve() } })
    await feed(decoder, image.subarray(0, length))
    await expect(decoder.end()).rejects.toMatchObject({ rule })
  })
})

test('who gives up waits for what is under way, and nothing is lent afterwards', async () => {
  const image = buildVdi()
  const writing = Promise.withResolvers<void>()
  let isWriting = false
  const target = {
    ...noZero,
    write: async () => {
      isWriting = true
      await writing.promise
      isWriting = false
    },
  }
  const decoder = await decoderOf('vdi', image, { target })
  await decoder.write(image.subarray(0, 100_000), 0)
  const write = decoder.write(image.subarray(100_000), 100_000)
  await expect.poll(() => isWriting).toBe(true)
  const closing = decoder.close()
  setTimeout(writing.resolve, 20)
  await closing
  expect(isWriting).toBe(false)
  await write
  await expect(decoder.end()).rejects.toThrow('given up')
})

test.each([
  ['vdi', buildVdi({ kind: 4 })],
  ['parallels', buildParallels({ sectors: 25 })],
  ['vhdx', buildVhdx({ headers: [[1, 9]] })],
  ['vmdk', buildVmdk({ capacity: 0 })],
  ['raw', buildVdi()],
] as const)('%s: what its head already says is wrong is not supported', (format, image) => {
  expect(planStream(format, image.subarray(0, MiB))).toMatchObject({ supported: false })
  expect(planStream('vdi', buildVdi(), { maximumSizeBytes: MiB })).toMatchObject({ supported: false })
})
