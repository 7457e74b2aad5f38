import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TableOrder } from './image-map.ts'

const order = (...l1: number[]): TableOrder => new TableOrder(Float64Array.from(l1))

describe('TableOrder', () => {
  test('has no place for tables that are not there', () => {
    const none = order(0, 0)
    expect([...none.indices]).toEqual([])
    expect([none.nextOffset, none.nextFrom(0)]).toEqual([Infinity, Infinity])
    expect([order().nextOffset, order().nextFrom(0)]).toEqual([Infinity, Infinity])
  })

  test('skips what the stream has opened', () => {
    const tables = order(3000, 0, 1000, 2000)
    expect(tables.nextOffset).toBe(1000)
    expect(tables.nextFrom(1001)).toBe(2000)
    expect(tables.openFrom(1001)).toBe(3)
    expect([tables.nextOffset, tables.openNext()]).toEqual([1000, 2])
    expect([tables.nextOffset, tables.openNext()]).toEqual([3000, 0])
    expect(tables.nextOffset).toBe(Infinity)
  })

  test('leaves a table that the stream has passed to the file, even one of two at a place', () => {
    const tables = order(1000, 1000)
    expect([tables.nextFrom(1000), tables.openFrom(1000)]).toEqual([1000, 0])
    expect(tables.nextFrom(1512)).toBe(Infinity)
    expect([tables.nextOffset, tables.openNext(), tables.nextOffset]).toEqual([1000, 1, Infinity])
  })

  test('opens each table once, whoever is faster', () => {
    const offsets = fc.array(fc.nat(30), { maxLength: 20 })
    fc.assert(
      fc.property(offsets, fc.array(fc.tuple(fc.boolean(), fc.nat(4)), { maxLength: 60 }), (l1, turns) => {
        const tables = order(...l1)
        const opened: number[] = []
        let position = 0
        for (const [inStream, step] of turns) {
          position += step
          if (!inStream && tables.nextOffset < position) opened.push(tables.openNext())
          if (inStream && tables.nextFrom(position) === position) {
            opened.push(tables.openFrom(position))
            position += 1
          }
        }
        while (tables.nextOffset < Infinity) opened.push(tables.openNext())
        expect(opened.toSorted((left, right) => left - right)).toEqual(
          l1.flatMap((offset, index) => (offset === 0 ? [] : [index])),
        )
      }),
    )
  })
})
