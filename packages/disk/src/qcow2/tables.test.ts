import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Qcow2Layout } from './layout.ts'
import { type ClusterEntry, parseL2Entry, visitL2Table } from './tables.ts'
import { Qcow2DecodeError } from '../errors.ts'

const clusterSize = 512
const entries = clusterSize / 8
const tableOffset = 4096

/** What a visit is given, or the refusal that ended it. */
type Seen = readonly [guestOffset: number, kind: ClusterEntry['kind'], hostOffset: number] | string

function headerOf(sizeBytes: number, version: 2 | 3 = 3): Qcow2Layout {
  return { version, clusterBits: 9, clusterSize, sizeBytes } as Qcow2Layout
}

function tableOf(values: readonly bigint[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(clusterSize))
  for (const [index, value] of values.entries()) view.setBigUint64(index * 8, value)
  return new Uint8Array(view.buffer)
}

function attempt(act: (seen: Seen[]) => void): Seen[] {
  const seen: Seen[] = []
  try {
    act(seen)
  } catch (error) {
    if (!(error instanceof Qcow2DecodeError)) throw error
    seen.push(`${error.rule} ${error.offset}`)
  }
  return seen
}

function visited(bytes: Uint8Array, layout: Qcow2Layout): Seen[] {
  return attempt((seen) => {
    let guestOffset = 0
    visitL2Table(bytes, layout, 0, tableOffset, {
      clusters: ({ kind, hostOffset, hostLength }, clusters) => {
        for (let index = 0; index < clusters; index += 1) {
          seen.push([guestOffset + index * clusterSize, kind, hostOffset + index * hostLength])
        }
      },
      range: (_, offset, length) => {
        expect(offset).toBe(guestOffset)
        guestOffset += length
      },
    })
  })
}

function oneByOne(bytes: Uint8Array, layout: Qcow2Layout): Seen[] {
  const view = new DataView(bytes.buffer)
  return attempt((seen) => {
    for (let index = 0; index < entries; index += 1) {
      const place = tableOffset + index * 8
      const entry = parseL2Entry(view.getUint32(index * 8), view.getUint32(index * 8 + 4), layout, place)
      const guestOffset = index * clusterSize
      if (guestOffset < layout.sizeBytes) seen.push([guestOffset, entry.kind, entry.hostOffset])
      else if (entry.kind !== 'unallocated') {
        throw new Qcow2DecodeError({
          rule: 'qcow2-beyond-virtual-size',
          reason: 'a cluster lies behind the virtual size',
          offset: place,
        })
      }
    }
  })
}

const copied = 1n << 63n
/** Beginnings of stretches: nothing, zeroes with and without a cluster, plain ones, at 4 GiB, and where offsets end. */
const starts = [
  0n,
  1n,
  4096n | 1n,
  copied | 8192n,
  8192n,
  copied | (2n ** 32n - 1536n),
  2n ** 53n - 2048n,
  copied | (2n ** 53n - 1024n) | 1n,
  (1n << 62n) | 12_345n,
  8192n | 4n,
] as const
const stretch = fc
  .record({
    start: fc.constantFrom(...starts),
    step: fc.constantFrom(0n, 512n, 512n, 512n, 1024n),
    length: fc.integer({ min: 1, max: 20 }),
  })
  .map(({ start, step, length }) => Array.from({ length }, (_, index) => start + BigInt(index) * step))
/** The last cluster before a multiple of 4 GiB, and then not the one behind it but one 4 GiB before. */
const around = fc.constantFrom(0n, copied, 5n << 32n).map((high) => [high | 0xffff_fe00n, high])

describe('a table in stretches', () => {
  test('tells of each cluster what its entry says, and refuses what an entry is refused for', () => {
    const refusals = new Set<string>()
    fc.assert(
      fc.property(
        fc.array(fc.oneof(stretch, around), { maxLength: 12 }),
        fc.integer({ min: 1, max: entries * clusterSize }),
        fc.constantFrom<2 | 3>(2, 3),
        (stretches, virtualSizeBytes, version) => {
          const bytes = tableOf(stretches.flat().slice(0, entries))
          const layout = headerOf(virtualSizeBytes, version)
          const seen = visited(bytes, layout)
          expect(seen).toEqual(oneByOne(bytes, layout))
          const last = seen.at(-1)
          if (typeof last === 'string') refusals.add(last.split(' ')[0] ?? '')
        },
      ),
      { numRuns: 3000 },
    )
    expect([...refusals].toSorted()).toEqual([
      'qcow2-beyond-virtual-size',
      'qcow2-cluster-outside-file',
      'qcow2-entry-reserved-bits',
    ])
  })

  test('is told of in as few calls as there are stretches', () => {
    const plain = Array.from({ length: 40 }, (_, index) => 8192n + BigInt(index) * 512n)
    const calls: (readonly [number, number])[] = []
    visitL2Table(tableOf(plain), headerOf(entries * clusterSize), 0, 0, {
      clusters: () => undefined,
      range: (_, guestOffset, length) => calls.push([guestOffset, length]),
    })
    expect(calls).toEqual([
      [0, 40 * clusterSize],
      [40 * clusterSize, 24 * clusterSize],
    ])
  })
})
