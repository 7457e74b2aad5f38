import { expect, test } from 'vitest'
import { createSlotPool, type Slot } from './slot-pool.ts'
import { createSlotRing, type SlotRing } from './slot-ring.ts'
import { createVerifiedPipe } from './verified-pipe.ts'

function takeAll(ring: SlotRing): Slot[] {
  const slots: Slot[] = []
  for (let slot = ring.take(); slot !== undefined; slot = ring.take()) slots.push(slot)
  return slots
}

test('a ring alone has all its slots, and several share what there is', () => {
  const pool = createSlotPool(10, 12)
  const first = createSlotRing(pool, 8)
  const slots = takeAll(first)
  expect(slots).toHaveLength(8)
  expect(first.free).toBe(0)
  const second = createSlotRing(pool, 8)
  const third = createSlotRing(pool, 8)
  expect(takeAll(second)).toHaveLength(4)
  // Beyond the pool's measure each has what it needs to get on.
  expect(takeAll(third)).toHaveLength(4)
  for (const slot of slots) first.release(slot)
  expect(second.free).toBe(4)
  expect(first.free).toBe(4)
})

test('memory that was given back is used again, as if it were new', () => {
  const pool = createSlotPool(10)
  const slot = pool.take()
  slot.used = 7
  slot.forSink = false
  pool.give(slot)
  expect(pool.take()).toBe(slot)
  expect(slot).toMatchObject({ used: 0, forSink: true })
})

test('what a ring leaves behind is not used again, and does not count any more', () => {
  const pool = createSlotPool(10, 8)
  const ring = createSlotRing(pool, 8)
  const lost = takeAll(ring)
  ring.close()
  expect(pool.free).toBe(8)
  const others = takeAll(createSlotRing(pool, 8))
  expect(others).toHaveLength(8)
  for (const slot of others) expect(lost).not.toContain(slot)
})

test('a transfer gives every slot back', async () => {
  const pool = createSlotPool(1000, 8)
  for (const size of [0, 1, 1000, 2500, 8000]) {
    const pipe = createVerifiedPipe(
      { write: () => undefined },
      { image: { id: 'image', size }, verify: 'none' },
      { memory: pool },
    )
    await pipe.push(new Uint8Array(size))
    await pipe.finish()
    expect(pool.free).toBe(8)
    await pipe.close()
    expect(pool.free).toBe(8)
  }
})
