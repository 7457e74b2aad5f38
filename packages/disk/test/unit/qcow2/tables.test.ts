import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildImage } from './build-image.ts'
import { planQcow2 } from '@disk-image/disk/qcow2'
import { parseQcow2, type Qcow2Layout } from '@disk-image/disk/layouts'
import { parseL1Table } from '../../../src/qcow2/tables.ts'
import { parseL2Entry } from '../../../src/qcow2/tables.ts'
import { Qcow2DecodeError } from '../../../src/errors.ts'

function headerOf(clusterBits: number, version: 2 | 3 = 3): Qcow2Layout {
  return parseQcow2(buildImage({ clusterBits, version }).subarray(0, 2 ** clusterBits))
}

function parseEntry(entry: bigint, header: Qcow2Layout): ReturnType<typeof parseL2Entry> {
  return parseL2Entry(Number(entry >> 32n), Number(entry & 0xffffffffn), header, 0)
}

function ruleOf(action: () => unknown): string {
  try {
    action()
    return 'none'
  } catch (error) {
    if (error instanceof Qcow2DecodeError) return error.rule
    throw error
  }
}

const clusterBits = fc.integer({ min: 9, max: 21 })

describe('parseL2Entry', () => {
  test('understands every kind', () => {
    const header = headerOf(16)
    expect(parseEntry(0n, header).kind).toBe('unallocated')
    expect(parseEntry(1n, header)).toEqual({ kind: 'zero', hostOffset: 0, hostLength: 0 })
    expect(parseEntry(0x8000_0000_0005_0000n, header)).toEqual({
      kind: 'normal',
      hostOffset: 0x50000,
      hostLength: 0x10000,
    })
    expect(parseEntry(0x8000_0000_0005_0001n, header)).toEqual({
      kind: 'zero',
      hostOffset: 0x50000,
      hostLength: 0x10000,
    })
    // One further sector, from byte 79 of cluster 5.
    expect(parseEntry(0x4040_0000_0005_004fn, header)).toEqual({
      kind: 'compressed',
      hostOffset: 0x5004f,
      hostLength: 1024 - 0x4f,
    })
  })

  test('has no zero clusters in version 2', () => {
    expect(ruleOf(() => parseEntry(1n, headerOf(16, 2)))).toBe('qcow2-entry-reserved-bits')
  })

  test('returns what was put together, for any cluster size', () => {
    fc.assert(
      fc.property(clusterBits, fc.nat(2 ** 27), fc.nat(2 ** 31 - 1), (bits, cluster, sectors) => {
        const header = headerOf(bits)
        const hostOffset = (cluster + 1) * header.clusterSize
        expect(parseEntry(BigInt(hostOffset), header)).toEqual({
          kind: 'normal',
          hostOffset,
          hostLength: header.clusterSize,
        })
        const further = sectors % 2 ** (bits - 8)
        const place = hostOffset + (sectors % 512)
        const entry = (1n << 62n) | (BigInt(further) << BigInt(70 - bits)) | BigInt(place)
        expect(parseEntry(entry, header)).toEqual({
          kind: 'compressed',
          hostOffset: place,
          hostLength: (further + 1) * 512 - (place % 512),
        })
      }),
    )
  })

  test('refuses or stays within bounds, whatever the 64 bits', () => {
    fc.assert(
      fc.property(clusterBits, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (bits, entry) => {
        const header = headerOf(bits)
        const rule = ruleOf(() => {
          const { kind, hostOffset, hostLength } = parseEntry(entry, header)
          expect(Number.isSafeInteger(hostOffset + hostLength)).toBe(true)
          expect(hostLength).toBeLessThanOrEqual(2 * header.clusterSize)
          expect(kind === 'compressed' ? 0 : hostOffset % header.clusterSize).toBe(0)
        })
        expect(rule).toMatch(
          /^(none|qcow2-entry-reserved-bits|qcow2-entry-misaligned|qcow2-cluster-outside-file)$/,
        )
      }),
      { numRuns: 2000 },
    )
  })
})

describe('parseL1Table', () => {
  const header = headerOf(16)

  function parse(entries: readonly bigint[], used = entries.length): Float64Array {
    const bytes = new Uint8Array(entries.length * 8)
    const view = new DataView(bytes.buffer)
    for (const [index, entry] of entries.entries()) view.setBigUint64(index * 8, entry)
    return parseL1Table(bytes, {
      ...header,
      l1Entries: entries.length,
      sizeBytes: (used * header.clusterSize ** 2) / 8,
    })
  }

  test('returns the offsets of L2 tables', () => {
    expect([...parse([0n, 0x8000_0000_0004_0000n, 0x50000n])]).toEqual([0, 0x40000, 0x50000])
  })

  test.for([
    ['qcow2-entry-reserved-bits', 0x4_0001n],
    ['qcow2-entry-reserved-bits', 0x0100_0000_0004_0000n],
    ['qcow2-entry-reserved-bits', 0x8000_0000_0000_0000n],
    ['qcow2-entry-misaligned', 0x4_0200n],
    ['qcow2-table-outside-file', 0x00ff_ffff_ffff_0000n],
  ] as const)('refuses %s: %s', ([rule, entry]) => {
    expect(ruleOf(() => parse([entry]))).toBe(rule)
  })

  test('refuses tables behind the virtual size', () => {
    expect(ruleOf(() => parse([0n, 0x40000n], 1))).toBe('qcow2-beyond-virtual-size')
  })
})

describe('planQcow2', () => {
  function reasonOf(patches: readonly (readonly [offset: number, ...bytes: number[]])[]): string {
    const image = buildImage({
      clusterBits: 16,
      patches: patches.map(([offset, ...bytes]) => ({ offset, bytes: Uint8Array.from(bytes) })),
    })
    const plan = planQcow2(image.subarray(0, 65_536))
    return plan.supported ? 'supported' : plan.reason
  }

  test('takes what it understands', () => {
    expect(reasonOf([])).toBe('supported')
    expect(
      reasonOf([
        [79, 8],
        [104, 1],
      ]),
    ).toBe('supported')
    // Dirty, which tells of refcounts alone; extended L2 entries.
    expect(reasonOf([[79, 1]])).toBe('supported')
    expect(
      reasonOf([
        [79, 16],
        [39, 2],
      ]),
    ).toBe('supported')
    // The format of a backing file, where there is none.
    expect(reasonOf([[112, 0xe2, 0x79, 0x2a, 0xca]])).toBe('supported')
  })

  test.for([
    ['does not begin as qcow2', [[0, 0]]],
    ['version 4 is not known', [[7, 4]]],
    ['backing file', [[15, 8]]],
    ['cluster size is outside', [[23, 22]]],
    ['virtual size is not one', [[31, 1]]],
    ['L1 table is too small', [[24, 1]]],
    ['encrypted', [[35, 2]]],
    ['L1 table is too large', [[36, 1]]],
    ['L1 table is not where', [[47, 1]]],
    ['L1 table is not where', [[40, 255]]],
    ['L1 table is too small', [[39, 0]]],
    ['reference count table', [[59, 0]]],
    ['reference count table', [[56, 1]]],
    ['too many snapshots', [[60, 1]]],
    ['corrupt', [[79, 2]]],
    ['external data file', [[79, 4]]],
    ['contradict', [[79, 8]]],
    ['features that are not known', [[72, 1]]],
    ['raw external', [[95, 2]]],
    ['Reference counts are wider', [[99, 7]]],
    ['header length', [[103, 111]]],
    ['header is shorter', [[103, 96]]],
    ['Compression type', [[104, 2]]],
    ['LUKS header', [[112, 0x05, 0x37, 0xbe, 0x77]]],
    ['external data file', [[112, 0x44, 0x41, 0x54, 0x41]]],
    ['extension reaches beyond', [[116, 1]]],
    [
      'bitmap',
      [
        [95, 1],
        [112, 0x23, 0x85, 0x28, 0x75],
      ],
    ],
  ] as const)('leaves alone: %s', ([reason, patches]) => {
    expect(reasonOf(patches)).toContain(reason)
  })

  test('gives a verdict on any bytes', () => {
    const image = buildImage({ clusterBits: 12 })
    const bytes = fc.uint8Array({ maxLength: 8 })
    const patch = fc.record({ offset: fc.integer({ min: 4, max: 140 }), bytes })
    fc.assert(
      fc.property(fc.array(patch, { maxLength: 3 }), fc.nat(4096), (patches, length) => {
        const damaged = image.slice(0, 4096)
        for (const { offset, bytes: patched } of patches) damaged.set(patched, offset)
        const plan = planQcow2(damaged.subarray(0, length))
        const l1Bytes = plan.supported ? plan.layout.l1Entries * 8 : 0
        expect(l1Bytes).toBeLessThanOrEqual(32 * 1024 ** 2)
      }),
      { numRuns: 2000 },
    )
  })
})
