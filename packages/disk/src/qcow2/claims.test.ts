import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CompressedRanges, HostClusterMap } from './claims.ts'
import { MinHeap } from './extents.ts'
import { Qcow2DecodeError } from '../errors.ts'

function isRefused(action: () => void): boolean {
  try {
    action()
    return false
  } catch (error) {
    if (error instanceof Qcow2DecodeError) return true
    throw error
  }
}

describe('CompressedRanges', () => {
  test('refuses exactly what a bitmap of all bytes refuses', () => {
    const claim = fc.record({
      offset: fc.integer({ min: 2 ** 20 - 200, max: 2 ** 20 + 200 }),
      length: fc.integer({ min: 1, max: 40 }),
    })
    fc.assert(
      fc.property(fc.array(claim, { maxLength: 60 }), (claims) => {
        const ranges = new CompressedRanges()
        const used = new Set<number>()
        for (const { offset, length } of claims) {
          const bytes = Array.from({ length }, (_, index) => offset + index)
          const isUsed = bytes.some((byte) => used.has(byte))
          expect(isRefused(() => ranges.claim(offset, length))).toBe(isUsed)
          if (isUsed) return
          for (const byte of bytes) used.add(byte)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('HostClusterMap', () => {
  test('refuses a second use, of any part', () => {
    const map = new HostClusterMap(512)
    map.claim(1024, 2048)
    expect(() => map.claim(2560, 512)).toThrow(Qcow2DecodeError)
    expect(() => map.claim(0, 1025)).toThrow(Qcow2DecodeError)
    expect(() => map.claimCompressed(3000, 10)).toThrow(Qcow2DecodeError)
  })

  test('lets compressed data share with its like alone', () => {
    const map = new HostClusterMap(65_536)
    map.claimCompressed(100, 1000)
    map.claimCompressed(1100, 65_536)
    expect(() => map.claim(65_536, 65_536)).toThrow(Qcow2DecodeError)
  })

  test('keeps track of a bounded number of clusters', () => {
    const map = new HostClusterMap(512)
    expect(() => {
      for (let index = 0; index < 2000; index += 1) map.claim(index * 2 ** 30, 512)
    }).toThrow(/keeps track/)
  })
})

describe('MinHeap', () => {
  test('hands out by number', () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), (numbers) => {
        const heap = new MinHeap<number>((number) => number)
        for (const number of numbers) heap.push(number)
        const sorted = numbers.toSorted((left, right) => left - right)
        expect(sorted.map(() => [heap.first, heap.pop()])).toEqual(sorted.map((number) => [number, number]))
        expect([heap.size, heap.first, heap.pop()]).toEqual([0, undefined, undefined])
      }),
    )
  })
})
