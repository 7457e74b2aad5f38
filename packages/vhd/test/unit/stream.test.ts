import { ImageError, type RandomAccessReader } from '@disk-image/core'
import { openDisk } from '@disk-image/disk'
import { campaign } from '@disk-image/testing'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { arbitraryChain, plansFrom } from '../helpers/arbitrary-chain.ts'
import { buildDisk, diskBytes, type DiskPlan, pattern, sum } from '../helpers/build-vhd.ts'
import { chainView } from '../helpers/model.ts'
import { type Feeding, NotStreamed, streamInto } from '../helpers/stream-into.ts'

const { seed, runs: numRuns } = campaign(150)
const MiB = 1024 ** 2

const feedings: fc.Arbitrary<Feeding> = fc.record({
  chunks: fc.array(fc.oneof(fc.integer({ min: 3000, max: 70_000 }), fc.constantFrom(512, 4096, MiB)), {
    minLength: 1,
    maxLength: 6,
  }),
  writeZeros: fc.boolean(),
})
const plain: Feeding = { chunks: [65_536], writeZeros: false }

function readerOf(bytes: Uint8Array): RandomAccessReader {
  return {
    size: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
  }
}

async function readAnywhere(bytes: Uint8Array): Promise<Buffer> {
  await using disk = await openDisk(readerOf(bytes), 'vpc')
  return Buffer.from(await disk.read(0, disk.size))
}

/** The image with its table behind all blocks, as a resize leaves it. */
function withTableAtEnd(bytes: Buffer): Buffer {
  const length = bytes.readUInt32BE(512 + 28) * 4
  const offset = bytes.length - 512
  const table = Buffer.alloc(Math.ceil(length / 512) * 512, 0xff)
  bytes.copy(table, 0, 1536, 1536 + length)
  const head = Buffer.from(bytes.subarray(0, offset))
  head.writeBigUInt64BE(BigInt(offset), 512 + 16)
  return Buffer.concat([seal(head), table, bytes.subarray(offset)])
}

/** Makes the checksums right. */
function seal(bytes: Buffer): Buffer {
  for (const [at, length, field] of [
    [0, 512, 64],
    [512, 1024, 36],
    [bytes.length - 512, 512, 64],
  ] as const) {
    if (!['conectix', 'cxsparse'].includes(bytes.toString('latin1', at, at + 8))) continue
    bytes.writeUInt32BE(0, at + field)
    bytes.writeUInt32BE(sum(bytes.subarray(at, at + length)), at + field)
  }
  return bytes
}

const disks = arbitraryChain(['dynamic', 'dynamic', 'fixed']).map(
  (spec) => plansFrom({ ...spec, disks: spec.disks.slice(-1) })[0] as DiskPlan,
)

test('as a stream it is what its sectors are', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      disks,
      feedings,
      fc.constantFrom('as it is', 'late', '511'),
      async (plan, feeding, how) => {
        const built = diskBytes(buildDisk(plan))
        const isLate = how === 'late' && plan.type === 'dynamic' && plan.creator !== 'tap'
        const whole = isLate ? withTableAtEnd(built) : built
        const image = how === '511' ? whole.subarray(0, -1) : whole
        expect(Buffer.compare(await streamInto(image, feeding), chainView([plan]))).toBe(0)
      },
    ),
    { numRuns, seed },
  )
})

const small: readonly DiskPlan[] = [
  {
    type: 'dynamic',
    sizeBytes: 3 * 65_536 + 512,
    blockBytes: 65_536,
    creator: 'tap',
    writes: [
      { sector: 3, data: pattern('a', 5) },
      { sector: 128, data: pattern('b', 128) },
      { sector: 384, data: pattern('c', 1) },
    ],
  },
  {
    type: 'dynamic',
    sizeBytes: 65_536,
    blockBytes: 4096,
    creator: 'qemu',
    writes: [{ sector: 9, data: pattern('d', 40) }],
  },
  { type: 'fixed', sizeBytes: 20_480, creator: 'win ', writes: [{ sector: 1, data: pattern('e', 9) }] },
]

test(
  'damaged, it is refused or is what a reader of the whole file sees',
  { timeout: 60_000 + numRuns * 200 },
  async () => {
    const outcomes = { read: 0, refused: 0 }
    const images = small.flatMap((plan) => {
      const image = diskBytes(buildDisk(plan))
      return plan.type === 'fixed' || plan.creator === 'tap' ? [image] : [image, withTableAtEnd(image)]
    })
    const where = fc.oneof(
      fc.nat(2047),
      fc.integer({ min: -600, max: -1 }),
      fc.integer({ min: 1536, max: 3100 }),
      fc.nat(20_000),
    )
    const value = fc.oneof(
      fc.constantFrom(Buffer.alloc(4, 0xff), Buffer.alloc(4), Buffer.from([0, 0, 0, 4])),
      fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...images),
        fc.array(fc.tuple(where, value), { maxLength: 3 }),
        fc.boolean(),
        fc.oneof(fc.constant(0), fc.constant(0), fc.nat(3000)),
        feedings,
        async (good, changes, isSealed, cut, feeding) => {
          const bytes = Buffer.from(good)
          for (const [at, change] of changes)
            change.copy(bytes, at < 0 ? bytes.length + at : at % bytes.length)
          const image = (isSealed ? seal(bytes) : bytes).subarray(0, bytes.length - cut)
          const streamed = await streamInto(image, feeding).catch((error: unknown) => error)
          const read = await readAnywhere(image).catch((error: unknown) => error)
          if (Buffer.isBuffer(streamed)) {
            outcomes.read += 1
            return Buffer.isBuffer(read) && read.equals(streamed)
          }
          outcomes.refused += 1
          if (!ImageError.is(streamed) && !(streamed instanceof NotStreamed)) throw streamed
          return true
        },
      ),
      { numRuns: numRuns * 4, seed },
    )
    expect(outcomes.read).toBeGreaterThan(numRuns / 10)
    expect(outcomes.refused).toBeGreaterThan(numRuns / 10)
  },
)

describe('what a stream refuses', () => {
  const dynamic = diskBytes(buildDisk(small[0] as DiskPlan))
  const fixed = diskBytes(buildDisk(small[2] as DiskPlan))
  const footer = fixed.subarray(-512)
  test.each([
    ['a fixed disk without its footer', 'footer-missing', fixed.subarray(0, -512)],
    ['a fixed disk that is cut', 'footer-missing', fixed.subarray(0, -1024)],
    ['a fixed disk that is too short', 'fixed-size', Buffer.concat([fixed.subarray(512, -512), footer])],
    ['a fixed disk with a gap', 'fixed-gap', Buffer.concat([fixed, footer])],
    ['a dynamic disk without its copy', 'footer-copy', Buffer.from(dynamic).fill(0, 0, 512)],
    [
      'a dynamic disk with the footer of a fixed one',
      'footers-differ',
      Buffer.concat([dynamic.subarray(0, -512), footer]),
    ],
    ['a cut block', 'block-past-end', dynamic.subarray(0, -70_000)],
    ['a cut table', 'table-offset', dynamic.subarray(0, 1540)],
  ])('%s: %s', async (_name, rule, image) => {
    await expect(streamInto(image, plain)).rejects.toMatchObject({ rule, kind: 'refused' })
  })

  test('two blocks in one place, before any of them is written', async () => {
    const image = Buffer.from(dynamic)
    image.writeUInt32BE(image.readUInt32BE(1540), 1536)
    await expect(streamInto(image, plain)).rejects.toMatchObject({ rule: 'block-overlap', offset: 1540 })
  })

  test.each([9999, 1])(
    "an entry of the table that no block needs: sector %i, as others don't read it",
    async (sector) => {
      const spare = { ...(small[1] as DiskPlan), spareEntries: 40 }
      const image = diskBytes(buildDisk(spare))
      image.writeUInt32BE(sector, 1536 + 50 * 4)
      const rule = sector === 1 ? 'block-on-header' : 'block-past-end'
      await expect(streamInto(image, plain)).rejects.toMatchObject({ rule, kind: 'refused' })
      await expect(readAnywhere(image)).rejects.toMatchObject({ rule, kind: 'refused' })
    },
  )

  test('a differencing disk, by its head', async () => {
    const image = diskBytes(buildDisk({ ...(small[0] as DiskPlan), type: 'differencing' }))
    await expect(streamInto(image, plain)).rejects.toThrow('parent')
  })
})
