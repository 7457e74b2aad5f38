/** A part of the ring's memory. */
export interface Slot {
  readonly memory: Buffer
  used: number
  /** Whether the bytes are for the sink too, or were read again only for the hash. */
  forSink: boolean
}

/** A fixed number of equal pieces of shared memory. */
export interface SlotRing {
  /** A free slot, or undefined where all are lent. */
  take(): Slot | undefined
  release(slot: Slot): void
  /** Slots that are not lent. */
  readonly free: number
}

/** Memory that is allocated once, so that a transfer's footprint does not depend on its length. */
export function createSlotRing(slotBytes: number, slots: number): SlotRing {
  const memory = new SharedArrayBuffer(slotBytes * slots)
  const free: Slot[] = Array.from({ length: slots }, (_, index) => ({
    memory: Buffer.from(memory, index * slotBytes, slotBytes),
    used: 0,
    forSink: true,
  }))
  return {
    get free() {
      return free.length
    },
    take: () => free.pop(),
    release: (slot) => {
      slot.used = 0
      slot.forSink = true
      free.push(slot)
    },
  }
}
