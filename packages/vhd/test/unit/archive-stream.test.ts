import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { Readable } from 'node:stream'
import { ImageError } from '@disk-image/core'
import {
  extractXenserverArchive,
  openVhdChain,
  openXenserverDecoder,
  streamRaw,
  XenserverArchiveError,
  type DecodedXenserverArchive,
} from '@disk-image/vhd'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { arbitraryChain, plansFrom } from '../helpers/arbitrary-chain.ts'
import { buildDisk, diskBytes, type DiskPlan, pattern, sum } from '../helpers/build-vhd.ts'
import { chainView } from '../helpers/model.ts'
import { tar, type TarEntry } from '../helpers/tar.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const numRuns = Number(process.env['VHD_STREAM_RUNS'] ?? 40)

interface Decoded extends DecodedXenserverArchive {
  readonly disk: Buffer
  /** Whether anything had to wait in the folder. */
  readonly hasWaited: boolean
}

/** Decodes an archive into memory. Chunks are overwritten as soon as they are given back. */
async function decode(archive: Uint8Array, chunkBytes = 65_536, writeZeros = false): Promise<Decoded> {
  const folder = path.join(temporaryDirectory(), 'folder')
  let disk: Buffer | undefined
  const decoder = openXenserverDecoder({
    writeZeros,
    folder: () => {
      mkdirSync(folder)
      return Promise.resolve(folder)
    },
    onSize: (sizeBytes) => {
      if (disk !== undefined) throw new Error('the size is told twice')
      if (sizeBytes > 2 ** 25) throw new Error('it is too large for a test')
      disk = Buffer.alloc(sizeBytes, writeZeros ? 0x55 : 0)
      return Promise.resolve()
    },
    target: {
      write: async (bytes, offset) => {
        await Promise.resolve()
        if (disk === undefined || offset + bytes.length > disk.length)
          throw new Error('it is not on the disk')
        disk.set(bytes, offset)
      },
      zero: (offset, length) => {
        disk?.fill(0, offset, offset + length)
        return Promise.resolve()
      },
    },
  })
  try {
    for (let at = 0; at < archive.length; at += chunkBytes) {
      const chunk = new Uint8Array(archive.subarray(at, at + chunkBytes))
      await decoder.write(chunk)
      chunk.fill(0xaa)
    }
    const decoded = await decoder.end()
    return { ...decoded, disk: disk ?? Buffer.alloc(0), hasWaited: existsSync(folder) }
  } finally {
    await decoder.close()
    expect(existsSync(folder) ? readdirSync(folder) : []).toEqual([])
  }
}

/** Unpacks it into a folder, and reads the chain there. */
async function unpack(archive: Uint8Array): Promise<Buffer> {
  const { chain } = await extractXenserverArchive(Readable.from([archive]), temporaryDirectory(), {
    durable: false,
  })
  await using opened = await openVhdChain(chain, { checkParentIds: false })
  const parts: Uint8Array[] = []
  for await (const bytes of streamRaw(opened)) parts.push(new Uint8Array(bytes))
  return Buffer.concat(parts)
}

/** Links the disks by their uuids, and makes no child smaller than its parent: what an archive may hold. */
function linked(plans: readonly DiskPlan[]): DiskPlan[] {
  const sizes = plans.map((_, index) => Math.max(...plans.slice(index).map(({ sizeBytes }) => sizeBytes)))
  const uuid = (index: number): string => `0000000${index}-0000-4000-8000-00000000000${index}`
  return plans.map((plan, index) => ({
    ...plan,
    sizeBytes: sizes[index] ?? 0,
    uniqueId: uuid(index + 1),
    ...(plan.type === 'differencing' ? { parentUniqueId: uuid(index + 2) } : {}),
  }))
}

const named = (disks: readonly Uint8Array[]): TarEntry[] =>
  disks.map((data, index) => ({ name: `./${index}.vhd`, data }))

test(
  'a chain is what its sectors are, and what is unpacked, in any order of its files',
  { timeout: 60_000 + numRuns * 300 },
  async () => {
    let streamed = 0
    await fc.assert(
      fc.asyncProperty(
        arbitraryChain(['dynamic', 'dynamic', 'dynamic', 'fixed']),
        fc.constantFrom('leaf first', 'leaf first', 'base first', 'shuffled'),
        fc.boolean(),
        fc.constantFrom(511, 4096, 100_000, 2 ** 20),
        fc.boolean(),
        fc.infiniteStream(fc.nat(1000)),
        async (spec, order, isPacked, chunkBytes, writeZeros, random) => {
          const plans = linked(plansFrom(spec))
          const entries = named(plans.map((plan) => diskBytes(buildDisk(plan))))
          if (order === 'base first') entries.reverse()
          const shuffled = entries
            .map((entry) => [random.next().value as number, entry] as const)
            .toSorted(([one], [other]) => one - other)
            .map(([, entry]) => entry)
          const packed = tar(order === 'shuffled' ? shuffled : entries)
          const archive = isPacked ? gzipSync(packed, { level: 1 }) : packed
          const { disk, hasWaited, warnings } = await decode(archive, chunkBytes, writeZeros)
          expect(Buffer.compare(disk, chainView(plans))).toBe(0)
          expect(Buffer.compare(disk, await unpack(archive))).toBe(0)
          expect(warnings.filter(({ rule }) => rule === 'parent-uuid')).toEqual([])
          if (order !== 'leaf first' || plans.at(-1)?.type !== 'dynamic') return
          expect(hasWaited).toBe(false)
          streamed += 1
        },
      ),
      { numRuns },
    )
    expect(streamed).toBeGreaterThan(numRuns / 10)
  },
)

const uuid = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-${digit.repeat(12)}`
const plan = (
  type: DiskPlan['type'],
  name: string,
  parent?: string,
  more: Partial<DiskPlan> = {},
): DiskPlan => ({
  type,
  sizeBytes: 2 ** 18,
  blockBytes: 65_536,
  uniqueId: uuid(name),
  ...(parent === undefined ? {} : { parentUniqueId: uuid(parent) }),
  writes: [
    { sector: (Number.parseInt(name, 16) - 9) * 20, data: pattern(name, 40) },
    ...Array.from({ length: 9 }, (_, at) => ({ sector: 300 + at * 5, data: pattern(`${name}${at}`, 2) })),
  ],
  ...more,
})
const plans = [plan('differencing', 'a', 'b'), plan('differencing', 'b', 'c'), plan('dynamic', 'c')]
const disks = plans.map((one) => diskBytes(buildDisk(one)))
const [leaf, middle, base] = disks as [Buffer, Buffer, Buffer]

/** Makes the checksums right. */
function seal(bytes: Buffer): Buffer {
  for (const [at, length, field] of [
    [0, 512, 64],
    [512, 1024, 36],
    [bytes.length - 512, 512, 64],
  ] as const) {
    bytes.writeUInt32BE(0, at + field)
    bytes.writeUInt32BE(sum(bytes.subarray(at, at + length)), at + field)
  }
  return bytes
}

test(
  'damaged or cut, an archive is refused or is what is unpacked, by the same judgement',
  { timeout: 60_000 + numRuns * 300 },
  async () => {
    const outcomes = { read: 0, refused: 0 }
    const where = fc.oneof(
      fc.nat(2047),
      fc.integer({ min: -600, max: -1 }),
      fc.integer({ min: 1536, max: 6000 }),
    )
    const value = fc.oneof(
      fc.constantFrom(Buffer.alloc(4, 0xff), Buffer.alloc(4), Buffer.from([0, 0, 0, 4])),
      fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(2), where, value), { maxLength: 2 }),
        fc.boolean(),
        fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(400_000)),
        fc.constantFrom([0, 1, 2], [0, 1, 2], [2, 0, 1]),
        fc.constantFrom(700, 65_536),
        async (changes, isSealed, cut, order, chunkBytes) => {
          const changed = disks.map((disk) => Buffer.from(disk))
          for (const [index, at, bytes] of changes) {
            const disk = changed[index] as Buffer
            bytes.copy(disk, at < 0 ? disk.length + at : at)
          }
          const entries = named(isSealed ? changed.map(seal) : changed)
          const whole = tar(order.map((index) => entries[index] as TarEntry))
          const archive = whole.subarray(0, Math.max(0, whole.length - cut))
          const unpacked = await unpack(archive).catch((error: unknown) => error)
          const decoded = await decode(archive, chunkBytes).catch((error: unknown) => error)
          if (Buffer.isBuffer(unpacked)) {
            outcomes.read += 1
            return 'disk' in (decoded as object) && (decoded as Decoded).disk.equals(unpacked)
          }
          outcomes.refused += 1
          return ImageError.is(decoded) || (decoded as Error).message.includes('for a test')
        },
      ),
      { numRuns: numRuns * 2 },
    )
    expect(outcomes.read).toBeGreaterThan(numRuns / 10)
    expect(outcomes.refused).toBeGreaterThan(numRuns / 10)
  },
)

describe('refused, whatever of it came before', () => {
  test.each<readonly [string, string, readonly TarEntry[]]>([
    ['two leaves', 'member-duplicate', [...named(disks), { name: '0.vhd', data: leaf }]],
    [
      'a link',
      'member-link',
      [
        { name: '0.vhd', data: leaf },
        { name: '1.vhd', type: '2', link: '0.vhd' },
      ],
    ],
    [
      'a hard link',
      'member-link',
      [
        { name: '0.vhd', data: leaf },
        { name: '1.vhd', type: '1', link: '0.vhd' },
      ],
    ],
    [
      'a gap',
      'chain-gap',
      [
        { name: '0.vhd', data: leaf },
        { name: '2.vhd', data: base },
      ],
    ],
    ['no leaf', 'chain-empty', [{ name: '1.vhd', data: base }]],
    ['no base', 'chain-incomplete', named([leaf, middle])],
    ['the same disk twice', 'chain-loop', named([leaf, leaf, base])],
    ['a loop', 'chain-loop', named([leaf, diskBytes(buildDisk(plan('differencing', 'b', 'a'))), base])],
    ['a parent behind a base', 'chain-type', named([base, middle])],
    [
      'a parent larger than its child',
      'child-smaller',
      named([leaf, diskBytes(buildDisk(plan('dynamic', 'b', undefined, { sizeBytes: 2 ** 19 })))]),
    ],
    [
      'a locator that leads out',
      'locator-outside',
      named([
        Buffer.from(leaf.toString('latin1').replace('file://./x.vhd', 'file://../x.vhd'), 'latin1'),
        middle,
        base,
      ]),
    ],
    ['a cut base', 'block-past-end', named([leaf, middle, base.subarray(0, -2048)])],
  ])('%s', async (_name, rule, entries) => {
    for (const order of [entries, entries.toReversed()]) {
      const error: unknown = await decode(gzipSync(tar(order))).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(XenserverArchiveError)
      expect(error).toMatchObject({ rule, kind: 'refused' })
    }
  })
})

test('another parent than was noted is a warning: who belongs to whom is said by the names', async () => {
  const stranger = diskBytes(buildDisk(plan('differencing', 'a', 'd')))
  const { warnings, disk } = await decode(tar(named([stranger, middle, base])))
  expect(warnings).toMatchObject([{ member: '0.vhd', rule: 'parent-uuid' }])
  expect(disk.equals(chainView(plans))).toBe(true)
})

test('a table behind the blocks makes its disk wait, and nothing else', async () => {
  const offset = base.length - 512
  const head = Buffer.from(base.subarray(0, offset))
  head.writeBigUInt64BE(BigInt(offset), 512 + 16)
  // Without a batmap, which stands behind the table.
  head.write('win ', 28, 'latin1')
  const table = Buffer.alloc(512, 0xff)
  base.copy(table, 0, 1536, 1536 + base.readUInt32BE(512 + 28) * 4)
  const end = Buffer.from(base.subarray(offset))
  end.write('win ', 28, 'latin1')
  const late = seal(Buffer.concat([head, table, end]))
  const { disk } = await decode(tar(named([leaf, middle, late])))
  expect(disk.equals(chainView(plans))).toBe(true)
})

test('an abort ends it with its reason', async () => {
  const controller = new AbortController()
  const decoder = openXenserverDecoder({
    signal: controller.signal,
    folder: () => Promise.reject(new Error('nothing has to wait')),
    onSize: () => Promise.resolve(),
    target: {
      write: () => Promise.resolve(controller.abort(new Error('enough'))),
      zero: () => Promise.resolve(),
    },
  })
  const archive = tar(named(disks))
  const fed = async (): Promise<void> => {
    for (let at = 0; at < archive.length; at += 4096) await decoder.write(archive.subarray(at, at + 4096))
  }
  await expect(fed()).rejects.toThrow('enough')
  await decoder.close()
})
