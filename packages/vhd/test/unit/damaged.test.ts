import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { ImageError } from '@disk-image/core'
import { campaign } from '@disk-image/testing'
import {
  coalesceChain,
  examineVhd,
  fixVhdChain,
  getVhdInfo,
  getVhdSize,
  openVhdChain,
  repairVhd,
  resizeVhd,
} from '@disk-image/vhd'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildDisk, diskBytes, pattern, sum, type DiskPlan } from '../helpers/build-vhd.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const uuid = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-${digit.repeat(12)}`
const childPlan: DiskPlan = {
  type: 'differencing',
  sizeBytes: 2 ** 20,
  blockBytes: 65_536,
  uniqueId: uuid('a'),
  parentUniqueId: uuid('b'),
  writes: [
    { sector: 3, data: pattern('child', 30) },
    { sector: 600, data: pattern('child', 200) },
  ],
}
const child = diskBytes(buildDisk(childPlan))
const base = diskBytes(
  buildDisk({
    ...childPlan,
    type: 'dynamic',
    uniqueId: uuid('b'),
    writes: [{ sector: 0, data: pattern('base', 300) }],
  }),
)

/** Puts the checksums of what was changed on purpose right again. */
function sealed(bytes: Buffer): Buffer {
  for (const at of [0, bytes.length - 512]) {
    bytes.writeUInt32BE(0, at + 64)
    bytes.writeUInt32BE(sum(bytes.subarray(at, at + 512)), at + 64)
  }
  bytes.writeUInt32BE(0, 548)
  bytes.writeUInt32BE(sum(bytes.subarray(512, 1536)), 548)
  return bytes
}

function edit(change: (bytes: Buffer) => void): () => Buffer {
  return () => {
    const bytes = Buffer.from(child)
    change(bytes)
    return sealed(bytes)
  }
}

const both = (bytes: Buffer, change: (at: number) => void): void => {
  change(0)
  change(bytes.length - 512)
}

const refused: readonly (readonly [string, string, () => Buffer])[] = [
  ['nothing', 'too-small', () => Buffer.alloc(0)],
  ['300 bytes', 'too-small', () => pattern('x', 1).subarray(0, 300) as Buffer],
  ['1 MiB of noise', 'footer-missing', () => pattern('x', 2048) as Buffer],
  [
    'both footers gone',
    'footer-missing',
    () =>
      Buffer.from(child)
        .fill(0, 0, 512)
        .fill(0, child.length - 512),
  ],
  [
    'a header with a wrong checksum',
    'header-checksum',
    () => {
      const bytes = Buffer.from(child)
      bytes[549] = (bytes[549] as number) ^ 1
      return bytes
    },
  ],
  ['a header without its cookie', 'header-cookie', edit((bytes) => bytes.write('cxsparsf', 512))],
  ['a header of another version', 'header-version', edit((bytes) => bytes.writeUInt32BE(0x20000, 536))],
  ['a cut last block', 'block-past-end', () => child.subarray(0, child.length - 4096)],
  [
    'a last block cut by its footer',
    'block-past-end',
    () => Buffer.concat([child.subarray(0, child.length - 4096), child.subarray(-512)]),
  ],
  ['a block past the end', 'block-past-end', edit((bytes) => bytes.writeUInt32BE(0x7fff_ffff, 1536))],
  ['a block at 0', 'block-on-footer-copy', edit((bytes) => bytes.writeUInt32BE(0, 1536))],
  ['a block on the header', 'block-on-header', edit((bytes) => bytes.writeUInt32BE(2, 1536))],
  ['a block on the table', 'block-on-table', edit((bytes) => bytes.writeUInt32BE(3, 1536))],
  ['a block twice', 'block-overlap', edit((bytes) => bytes.writeUInt32BE(bytes.readUInt32BE(1536), 1540))],
  [
    'a block that begins in another',
    'block-overlap',
    edit((bytes) => bytes.writeUInt32BE(bytes.readUInt32BE(1536) + 1, 1540)),
  ],
  ['a table that is too short', 'table-size', edit((bytes) => bytes.writeUInt32BE(15, 540))],
  ['a table of 4 billion entries', 'table-offset', edit((bytes) => bytes.writeUInt32BE(0xffff_ffff, 540))],
  ['a table outside', 'table-offset', edit((bytes) => bytes.writeBigUInt64BE(1n << 40n, 528))],
  [
    'a table beyond all numbers',
    'header-table-offset',
    edit((bytes) => bytes.writeBigUInt64BE(1n << 63n, 528)),
  ],
  ['blocks of 0 bytes', 'block-size', edit((bytes) => bytes.writeUInt32BE(0, 544))],
  ['blocks of 4 MiB', 'block-size', edit((bytes) => bytes.writeUInt32BE(2 ** 22, 544))],
  ['blocks of 3 bytes', 'block-size', edit((bytes) => bytes.writeUInt32BE(3, 544))],
  ['blocks of 2 GiB', 'block-size', edit((bytes) => bytes.writeUInt32BE(2 ** 31, 544))],
  [
    'a type that is reserved',
    'footer-missing',
    edit((bytes) => both(bytes, (at) => bytes.writeUInt32BE(5, at + 60))),
  ],
  ['1 EiB', 'size', edit((bytes) => both(bytes, (at) => bytes.writeBigUInt64BE(1n << 60n, at + 48)))],
  ['4 TiB', 'size', edit((bytes) => both(bytes, (at) => bytes.writeBigUInt64BE(1n << 42n, at + 48)))],
  [
    'a header offset outside',
    'header-offset',
    edit((bytes) => both(bytes, (at) => bytes.writeBigUInt64BE(1n << 50n, at + 16))),
  ],
  [
    'a header on the footer',
    'header-offset',
    edit((bytes) => both(bytes, (at) => bytes.writeBigUInt64BE(0n, at + 16))),
  ],
  ['no header', 'header-offset', edit((bytes) => both(bytes, (at) => bytes.fill(0xff, at + 16, at + 24)))],
  ['an unfinished resize', 'journal-open', edit((bytes) => both(bytes, (at) => bytes.write('v_poison', at)))],
  ['encryption', 'encrypted', edit((bytes) => (bytes[2048 + 29] = 1))],
  [
    'bitmaps of blktap 0.1',
    'bitmap-order',
    edit((bytes) => both(bytes, (at) => bytes.writeUInt32BE(1, at + 32))),
  ],
  ['the copy at the start gone', 'footer-copy', () => Buffer.from(child).fill(0, 0, 512)],
  [
    'a footer at the end with a wrong checksum',
    'footer-damaged',
    () => {
      const bytes = Buffer.from(child)
      bytes.writeUInt32BE(1, bytes.length - 512 + 64)
      return bytes
    },
  ],
  ['footers with two sizes', 'footers-differ', edit((bytes) => bytes.writeBigUInt64BE(1n << 30n, 48))],
  ['footers with two types', 'footers-differ', edit((bytes) => bytes.writeUInt32BE(3, 60))],
  ['footers with two creators', 'footers-differ', edit((bytes) => bytes.write('vbox', 28))],
  ['footers with two identities', 'footers-differ', edit((bytes) => bytes.write('another', 68))],
  ['footers with two headers', 'footers-differ', edit((bytes) => bytes.writeBigUInt64BE(1n << 20n, 16))],
  [
    'a short footer that differs from the copy',
    'footers-differ',
    () => edit((bytes) => bytes.writeBigUInt64BE(1n << 30n, 48))().subarray(0, -1),
  ],
  [
    'a fixed disk larger than its file',
    'fixed-size',
    edit((bytes) =>
      both(bytes, (at) => {
        bytes.writeUInt32BE(2, at + 60)
        bytes.writeBigUInt64BE(BigInt(child.length), at + 48)
      }),
    ),
  ],
]

describe('refused at once, by its rule, before anything is written', () => {
  test.each(refused)('%s: %s', async (_name, rule, make) => {
    const directory = temporaryDirectory()
    const [leaf, parent] = ['0.vhd', '1.vhd'].map((name) => path.join(directory, name)) as [string, string]
    writeFileSync(leaf, make())
    writeFileSync(parent, base)
    const start = performance.now()
    for (const call of [
      () => coalesceChain([leaf, parent]),
      () => fixVhdChain([leaf, parent]),
      () => resizeVhd(leaf, 64),
    ]) {
      await expect(call()).rejects.toMatchObject({ rule, kind: 'refused' })
    }
    const { ok, issues, info } = await examineVhd(leaf)
    expect(ok).toBe(false)
    expect(info).toBeUndefined()
    expect(issues.find(({ severity }) => severity === 'fatal')?.rule).toBe(rule)
    expect(performance.now() - start).toBeLessThan(3000)
    expect(readFileSync(parent).equals(base)).toBe(true)
  })
})

const merged: readonly (readonly [string, readonly string[], () => Buffer])[] = [
  ['the footer at the end gone', ['footer-end'], () => Buffer.from(child).fill(0, child.length - 512)],
  ['a footer of 511 bytes', ['footer-511'], () => child.subarray(0, -1)],
  ['a batmap with a wrong checksum', ['batmap'], edit((bytes) => bytes.writeUInt32BE(1, 2048 + 24))],
  ['a batmap without its cookie', ['batmap'], edit((bytes) => bytes.write('xx', 2048))],
  [
    'a batmap that lies',
    ['batmap-bits', 'batmap-block'],
    edit((bytes) => {
      bytes.fill(0xff, 2560, 2562)
      bytes.writeUInt32BE(sum(bytes.subarray(2560, 3072)), 2048 + 24)
    }),
  ],
  ['locators that are all empty', [], edit((bytes) => bytes.fill(0, 1088, 1280))],
  [
    'a locator to a host file',
    [],
    edit((bytes) => bytes.write('file:///etc/hostname', Number(bytes.readBigUInt64BE(1104)))),
  ],
  [
    'a locator outside of the file',
    ['locator-bounds'],
    edit((bytes) => bytes.writeBigUInt64BE(1n << 60n, 1104)),
  ],
  ['junk as a locator\u2019s platform', [], edit((bytes) => bytes.write('JUNK', 1088))],
  [
    'a geometry that is nonsense',
    ['geometry'],
    edit((bytes) => both(bytes, (at) => bytes.writeUInt32BE(1, at + 56))),
  ],
  [
    'an original size that lies',
    [],
    edit((bytes) => both(bytes, (at) => bytes.writeBigUInt64BE(1n << 62n, at + 40))),
  ],
]

describe('named, and merged rightly all the same', () => {
  test.each(merged)('%s', async (_name, rules, make) => {
    const directory = temporaryDirectory()
    const [leaf, parent, whole] = ['0.vhd', '1.vhd', 'whole.vhd'].map((name) =>
      path.join(directory, name),
    ) as [string, string, string]
    writeFileSync(leaf, make())
    writeFileSync(parent, base)
    writeFileSync(whole, child)
    const { issues } = await examineVhd(leaf, { parents: false })
    expect([...new Set(issues.map(({ rule }) => rule))].toSorted()).toEqual(rules)
    await using before = await openVhdChain([whole, parent])
    const view = await before.read(0, before.size)
    await coalesceChain([leaf, parent])
    await using after = await openVhdChain(parent)
    expect(Buffer.compare(await after.read(0, after.size), view)).toBe(0)
    expect((await examineVhd(parent)).ok).toBe(true)
  })
})

test('512 KiB blocks lose nothing', async () => {
  const directory = temporaryDirectory()
  const plan: DiskPlan = {
    ...childPlan,
    sizeBytes: 10 * 2 ** 20,
    blockBytes: 2 ** 19,
    writes: [
      { sector: 0, data: pattern('first', 5) },
      { sector: 19 * 1024, data: pattern('last', 5) },
    ],
  }
  const [leaf, parent] = ['0.vhd', '1.vhd'].map((name) => path.join(directory, name)) as [string, string]
  writeFileSync(leaf, diskBytes(buildDisk(plan)))
  writeFileSync(
    parent,
    diskBytes(buildDisk({ ...plan, blockBytes: 2 ** 21, type: 'dynamic', uniqueId: uuid('b'), writes: [] })),
  )
  await coalesceChain([leaf, parent])
  await using disk = await openVhdChain(parent)
  expect(Buffer.compare(await disk.read(0, 2560), pattern('first', 5))).toBe(0)
  expect(Buffer.compare(await disk.read(19 * 2 ** 19, 2560), pattern('last', 5))).toBe(0)
})

const { seed, runs: numRuns } = campaign(300)

/** Where hostile values do most: footers, header, table, batmap, locators, bitmaps. */
const offsets = fc.oneof(
  fc.nat(2047),
  fc.integer({ min: 2048, max: 5000 }),
  fc.integer({ min: child.length - 512, max: child.length - 1 }),
  fc.nat(child.length - 1),
)
const values = fc.oneof(
  fc.constantFrom(
    Buffer.alloc(4, 0xff),
    Buffer.alloc(8, 0xff),
    Buffer.alloc(4),
    Buffer.from([0x7f, 0xff, 0xff, 0xff]),
  ),
  fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
)

test('mutations: no foreign error, no hang, no growth', { timeout: 60_000 + numRuns * 100 }, async () => {
  const directory = temporaryDirectory()
  const [leaf, parent] = ['0.vhd', '1.vhd'].map((name) => path.join(directory, name)) as [string, string]
  const outcomes = { fine: 0, refused: 0 }
  const calls = [
    () => examineVhd(leaf),
    () => getVhdInfo(leaf),
    () => getVhdSize(leaf),
    () => fixVhdChain([leaf, parent]),
    () => coalesceChain([leaf, parent], { checkParentIds: false }),
    () => coalesceChain([leaf, parent], { mode: 'copy' }),
    () => resizeVhd(leaf, 40),
    () => repairVhd(leaf),
  ]
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(offsets, values), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      fc.boolean(),
      fc.oneof(fc.constant(0), fc.nat(5000)),
      async (changes, isSealed, inParent, cut) => {
        const bytes = Buffer.from(inParent ? base : child)
        for (const [offset, value] of changes) value.copy(bytes, offset)
        const mutated = (isSealed ? sealed(bytes) : bytes).subarray(0, bytes.length - cut)
        writeFileSync(leaf, inParent ? child : mutated)
        writeFileSync(parent, inParent ? mutated : base)
        const start = performance.now()
        for (const call of calls) {
          const error: unknown = await Promise.resolve(call()).then(
            () => undefined,
            (reason: unknown) => reason,
          )
          if (error === undefined) outcomes.fine += 1
          else if (ImageError.is(error)) outcomes.refused += 1
          else throw error
        }
        expect(performance.now() - start).toBeLessThan(5000)
        expect(readFileSync(parent).length).toBeLessThan(2 ** 24)
      },
    ),
    { numRuns, seed },
  )
  expect(outcomes.fine).toBeGreaterThan(numRuns / 10)
  expect(outcomes.refused).toBeGreaterThan(numRuns / 10)
  expect(process.memoryUsage().rss).toBeLessThan(2 ** 30)
})
