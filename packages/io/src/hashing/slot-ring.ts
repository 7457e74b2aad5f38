import type { Slot, SlotPool } from './slot-pool.ts'

/** The slots of one transfer: never more than a fixed number, so that its footprint does not depend on its length. */
export interface SlotRing {
  /** A free slot, or undefined where there is none: then some are lent, and one of them will be free again. */
  take(): Slot | undefined
  release(slot: Slot): void
  /** Slots that could be taken at the moment. */
  readonly free: number
  /** Gives up what is still lent. */
  close(): void
}

/** So many a transfer can always have: one to fill, and others for sink and hashes at the same time. */
const least = 4

/** Makes a {@link SlotRing} of at most so many slots of a pool. */
export function createSlotRing(pool: SlotPool, slots: number): SlotRing {
  let held = 0
  const free = (): number => Math.min(slots - held, Math.max(pool.free, least - held))
  return {
    get free() {
      return free()
    },
    take() {
      if (free() <= 0) return undefined
      held += 1
      return pool.take()
    },
    release(slot) {
      held -= 1
      pool.give(slot)
    },
    close() {
      pool.lose(held)
      held = 0
    },
  }
}
