import { KiB, MiB } from '@disk-image/core'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { HeldRanges, heldRangesOf } from './ranges.ts'

test('the head, where formats repeat theirs, and of a device the tail', () => {
  const page = 4 * KiB
  const head = { start: 0, end: MiB + page }
  const further = [2 * MiB, 4 * MiB].map((start) => ({ start, end: start + page }))
  expect(heldRangesOf(Infinity)).toEqual([head, ...further])
  expect(heldRangesOf(10 * MiB)).toEqual([head, ...further, { start: 9 * MiB, end: 10 * MiB }])
  expect(heldRangesOf(1.5 * MiB)).toEqual([head, { start: head.end, end: 1.5 * MiB }])
  expect(heldRangesOf(512)).toEqual([{ start: 0, end: 512 }])
})

test('whatever the writes, nothing of the ranges is left over, and the rest is the writer’s', () => {
  const size = 6 * MiB
  const places = [0, 512, MiB - 1, MiB, MiB + 4 * KiB, 2 * MiB + 10, 4 * MiB, 5 * MiB, size - 1]
  const write = fc.record({
    place: fc.constantFrom(...places),
    length: fc.integer({ min: 1, max: 3 * MiB }),
    value: fc.integer({ min: 0, max: 9 }),
  })
  fc.assert(
    fc.property(fc.array(write, { maxLength: 6 }), (writes) => {
      const held = new HeldRanges(heldRangesOf(size))
      const expected = new Uint8Array(size)
      const outside = new Uint8Array(size)
      for (const { place, length, value } of writes) {
        const end = Math.min(size, place + length)
        expected.fill(value, place, end)
        // Zero stands for a range that is skipped.
        const chunk = value === 0 ? undefined : new Uint8Array(end - place).fill(value)
        for (const part of held.take(place, end - place, chunk)) {
          outside.fill(value, place + part.start, place + part.end)
        }
      }
      for (const range of held.ranges) {
        expect(outside.subarray(range.start, range.end).every((byte) => byte === 0)).toBe(true)
        outside.set(held.bytesOf(range, size) ?? new Uint8Array(range.end - range.start), range.start)
      }
      expect(Buffer.compare(outside, expected)).toBe(0)
    }),
    { numRuns: 30 },
  )
})

test('everything of the head may be there before the end, but for the sectors with signatures', () => {
  const held = new HeldRanges(heldRangesOf(6 * MiB))
  const head = new Uint8Array(128 * KiB).fill(1)
  head.set(Buffer.from('EFI PART'), 512)
  head.set(Buffer.from('_BHRfS_M'), 64 * KiB + 64)
  held.take(0, head.length, head)
  const places = held.bulk(6 * MiB).map(({ start, bytes }) => [start, start + bytes.length])
  expect(places).toEqual([
    [1024, 64 * KiB],
    [64 * KiB + 512, MiB + 4 * KiB],
  ])
})
