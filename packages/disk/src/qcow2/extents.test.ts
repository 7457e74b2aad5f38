import { describe, expect, test } from 'vitest'
import { GuestExtent, HostExtent, PendingExtents } from './extents.ts'

const normal = (hostOffset: number, length: number): HostExtent =>
  new HostExtent('normal', hostOffset, length, length)

/** An extent of these parts at guest offset 10240, with some bytes cut off by the virtual size. */
function extentOf(parts: readonly HostExtent[], cut = 0): GuestExtent {
  const length = parts.reduce((sum, part) => sum + part.guestLength, 0) - cut
  const needsBytes = Math.max(...parts.map((part) => part.hostOffset + part.hostLength))
  return new GuestExtent(10_240, length, parts, needsBytes)
}

interface Placed {
  readonly pending: PendingExtents
  readonly spooled: readonly GuestExtent[]
}

function place(position: number, extent: GuestExtent): Placed {
  const pending = new PendingExtents(512)
  return { pending, spooled: pending.place(extent, position) }
}

function restOf(pending: PendingExtents): unknown[] {
  const rest: unknown[] = []
  for (let { first } = pending; first !== undefined; { first } = pending) {
    rest.push([first.hostOffset, first.guestOffset, first.length])
    pending.consume(first.length)
  }
  return rest
}

describe('PendingExtents', () => {
  test('has what begins at the position or behind it', () => {
    const { pending, spooled } = place(1024, extentOf([normal(2048, 512), normal(1024, 1024)]))
    expect(spooled).toEqual([])
    expect([pending.size, pending.end]).toEqual([2, 2048])
    expect(restOf(pending)).toEqual([
      [1024, 10_752, 1024],
      [2048, 10_240, 512],
    ])
    expect([pending.size, pending.first, pending.end]).toEqual([0, undefined, Infinity])
  })

  test('leaves to the spool what has come', () => {
    const extent = extentOf([normal(2048, 512), normal(1024, 1024)])
    const { pending, spooled } = place(2560, extent)
    expect([spooled, pending.size]).toEqual([[extent], 0])
  })

  test('leaves compressed ones to the spool', () => {
    const extent = extentOf([new HostExtent('compressed', 2048, 512, 512)])
    const { pending, spooled } = place(0, extent)
    expect([spooled, pending.size]).toEqual([[extent], 0])
  })

  test.for([
    [1025, 512],
    [1535, 512],
    [1536, 512],
    [1537, 1024],
  ] as const)('reads a cluster that has come in part, to %i, from the spool', ([position, passed]) => {
    const { pending, spooled } = place(position, extentOf([normal(1024, 2048)]))
    expect(spooled).toEqual([new GuestExtent(10_240, passed, [normal(1024, passed)], 1024 + passed)])
    expect(restOf(pending)).toEqual([[1024 + passed, 10_240 + passed, 2048 - passed]])
  })

  test('divides an extent of which parts lie on both sides', () => {
    const { pending, spooled } = place(
      5000,
      extentOf([normal(1024, 512), normal(8192, 512), normal(2048, 512)], 100),
    )
    expect(spooled.map(({ guestOffset, length, needsBytes }) => [guestOffset, length, needsBytes])).toEqual([
      [10_240, 512, 1536],
      [11_264, 412, 2560],
    ])
    expect(restOf(pending)).toEqual([[8192, 10_752, 512]])
  })

  test('has no byte behind the virtual size', () => {
    const { pending, spooled } = place(0, extentOf([normal(1024, 1024)], 300))
    expect(spooled).toEqual([])
    expect(restOf(pending)).toEqual([[1024, 10_240, 724]])
    const passed = place(1900, extentOf([normal(1024, 1024)], 300))
    expect(passed.spooled).toMatchObject([{ length: 724, needsBytes: 2048 }])
    expect(passed.pending.size).toBe(0)
  })

  test('is consumed in parts, which leaves its end where it is', () => {
    const { pending } = place(0, extentOf([normal(1024, 1024)]))
    pending.consume(1)
    expect(pending.first).toMatchObject({ hostOffset: 1025, guestOffset: 10_241, length: 1023 })
    expect(pending.end).toBe(2048)
    pending.consume(2000)
    expect(pending.size).toBe(0)
    pending.consume(1)
  })
})
