import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import { Qcow2DecodeError } from '@disk-image/disk/qcow2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { feedStream } from '../../feed-stream.ts'
import { buildImage, compressedEntry } from './build-image.ts'
import { decodeStreamed, decodeWhole, diskOf, pace, paces } from './decode-both.ts'
import { at, cluster, distinct, far, farData, mixed, neighbours, packed, tableOf } from './sample-images.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-qcow2-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))
const inDirectory = (name: string): string => path.join(directory, name)

const deflated = deflateRawSync(cluster(4))
const zstd = zstdCompressSync(cluster(9))
const large = (count: number): Uint8Array[] => [
  ...Array.from({ length: 12 }, () => cluster(0, 4096)),
  ...distinct(count, 4096),
]

const images: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['smaller than a header may be', buildImage(mixed)],
  [
    'each kind of cluster behind its table',
    buildImage({
      l2: [at(131), 0n, 1n, at(130), at(132) | 1n, compressedEntry(133 * 512 + 10, 12, 9), at(134)],
      data: farData([...distinct(3), packed(10, deflated), ...distinct(3)]),
    }),
  ],
  [
    'a table behind its data',
    buildImage({ l1: [at(136)], data: farData([...distinct(6), tableOf(neighbours(130, 6))]) }),
  ],
  [
    'tables before, amid and behind their data',
    buildImage({
      virtualSizeBytes: 3 * 32_768,
      l1: [at(4), at(135), at(145)],
      l2: [...neighbours(130, 3), at(149), at(140)],
      data: farData([
        ...distinct(5),
        tableOf([...neighbours(133, 2), ...neighbours(136, 4), at(148)]),
        ...distinct(9),
        tableOf([at(144), 0n, at(143), at(146), at(147)]),
        ...distinct(6),
      ]),
    }),
  ],
  [
    'neighbours of which some come with the header',
    buildImage({ l2: neighbours(120, 20), data: [...farData([]).slice(10), ...distinct(40)] }),
  ],
  [
    'compressed data that reaches behind the end',
    buildImage({
      l2: [at(130), compressedEntry(132 * 512, deflated.byteLength, 9), at(131)],
      data: farData([...distinct(2), packed(0, deflated)]),
    }).slice(0, -100),
  ],
  [
    'zstd',
    buildImage({
      compressionType: 1,
      l2: [compressedEntry(130 * 512, zstd.byteLength, 9), at(131)],
      data: farData([packed(0, zstd), ...distinct(1)]),
    }),
  ],
  ['version 2', buildImage({ version: 2, l2: [at(131), at(130)], data: farData(distinct(2)) })],
  [
    'a virtual size that cuts the last cluster',
    buildImage({
      clusterBits: 12,
      virtualSizeBytes: 2 * 4096 + 1536,
      l2: [17n, 18n, 19n].map((index) => index * 4096n),
      data: large(4),
    }),
  ],
  [
    'clusters of 64 KiB',
    buildImage({
      clusterBits: 16,
      virtualSizeBytes: 4 * 65_536,
      l2: [7n, 5n, 0n, 6n].map((index) => index * 65_536n),
      data: distinct(3, 65_536),
    }),
  ],
  ['an end amid the last cluster', buildImage({ l2: [at(130)], data: farData(distinct(1)) }).slice(0, -212)],
  [
    'an end amid the last of neighbours',
    buildImage({ l2: neighbours(130, 5), data: farData(distinct(5)) }).slice(0, -1),
  ],
  ['bytes that nothing tells of at the end', buildImage({ l2: [at(130)], data: farData(distinct(9)) })],
  ['nothing but a header', buildImage({ virtualSizeBytes: 0, l1: [] })],
]

/** Which bytes of an image that is decoded went through the file: 1 for each. */
async function keptOf(bytes: Uint8Array, steps: string): Promise<Uint8Array> {
  const outcome = await decodeStreamed(inDirectory('stream.qcow2'), bytes, pace(steps, bytes))
  if (outcome instanceof Qcow2DecodeError) throw outcome
  return outcome.kept
}

describe('decodeQcow2Stream', () => {
  // Half a million chunks of one byte take as long as everything else here.
  const steady = (bytes: Uint8Array): string[] =>
    bytes.length < 100_000 ? paces : paces.map((steps) => (steps === '1' ? '61' : steps))
  test.for(images.flatMap(([name, bytes]) => steady(bytes).map((steps) => [name, steps, bytes] as const)))(
    'makes the same disk as decodeQcow2: %s, in chunks of %s',
    async ([, steps, bytes]) => {
      const whole = await decodeWhole(inDirectory('whole.qcow2'), bytes)
      expect(whole).not.toBeInstanceOf(Qcow2DecodeError)
      const streamed = await decodeStreamed(inDirectory('stream.qcow2'), bytes, pace(steps, bytes))
      expect(diskOf(streamed)).toEqual(diskOf(whole))
    },
  )

  test.for(images.flatMap(([name, bytes]) => ['512', 'whole'].map((steps) => [name, steps, bytes] as const)))(
    'writes zeros where it is told to: %s, in chunks of %s',
    async ([, steps, bytes]) => {
      const whole = await decodeWhole(inDirectory('whole.qcow2'), bytes)
      const feeding = { ...pace(steps, bytes), writeZeros: true }
      const streamed = await decodeStreamed(inDirectory('stream.qcow2'), bytes, feeding)
      expect(diskOf(streamed)).toEqual(diskOf(whole))
    },
  )

  test('has done with a chunk when it gives it back, however slow the target is', async () => {
    const bytes = buildImage({ l2: [...neighbours(131, 3), at(130)], data: farData(distinct(4)) })
    const raw = new Uint8Array(32_768)
    const write = async (chunk: Uint8Array, offset: number): Promise<void> => {
      await delay(3)
      raw.set(chunk, offset)
    }
    const file = inDirectory('stream.qcow2')
    await feedStream({ file, bytes, target: { write }, workers: 2, step: () => 700 })
    const [first, ...others] = distinct(4)
    expect(raw.subarray(0, 2048)).toEqual(
      Uint8Array.from([...others, first ?? []].flatMap((part) => [...part])),
    )
  })

  test.for(paces)('keeps nothing of what is behind its table, in chunks of %s', async (steps) => {
    const bytes = buildImage({ l2: [...neighbours(131, 3), at(130)], data: farData(distinct(5)) })
    const kept = await keptOf(bytes, steps)
    expect(kept.subarray(far * 512, (far + 4) * 512).includes(1)).toBe(false)
  })

  test('keeps no table that comes whole', async () => {
    const bytes = buildImage({ l1: [at(far)], data: farData([tableOf(neighbours(131, 2)), ...distinct(2)]) })
    for (const steps of ['whole', '4096']) {
      expect((await keptOf(bytes, steps)).subarray(far * 512).includes(1)).toBe(false)
    }
    const kept = await keptOf(bytes, '7')
    expect(kept.subarray(far * 512, (far + 1) * 512).includes(0)).toBe(false)
    // The table is read when a part of the next cluster has come; the one behind it goes its way.
    expect(kept.subarray((far + 2) * 512).includes(1)).toBe(false)
  })

  test('keeps what comes before its table', async () => {
    const bytes = buildImage({ l1: [at(136)], data: farData([...distinct(6), tableOf(neighbours(130, 6))]) })
    expect((await keptOf(bytes, '65536')).subarray(0, 136 * 512).includes(0)).toBe(false)
  })
})
