import { allocatePagePieces } from '../memory/page-memory.ts'

/** A part of a pool's memory. */
export interface Slot {
  readonly memory: Uint8Array
  used: number
  /** Of its first byte in the whole. */
  offset: number
  /** Whether the bytes are for the sink too, or were read again only for the hash. */
  forSink: boolean
}

/** Shared memory for the transfers of one client. What one has done with serves the next: new memory is dear. */
export interface SlotPool {
  /** Bytes of each slot. */
  readonly slotBytes: number
  /** Slots that may still be taken. Who must have one can take one all the same. */
  readonly free: number
  take(): Slot
  /** Takes a slot back that nobody uses any more. */
  give(slot: Slot): void
  /** Forgets slots that somebody may still use. */
  lose(count: number): void
  /** Keeps nothing that is given back from now on. */
  close(): void
}

const idleMs = 2000
/** Allocated together, as many as a transfer has at most. What is never used takes no memory. */
const slotsPerBlock = 8

/**
 * Makes a {@link SlotPool}. Its memory is allocated when it is needed, and freed a while after the last slot came back.
 *
 * @param most slots for which `free` holds; with more than three transfers at once each has fewer than it would alone
 */
export function createSlotPool(slotBytes: number = 1024 * 1024, most = 24): SlotPool {
  let idle: Slot[] = []
  let taken = 0
  let closed = false
  let timer: NodeJS.Timeout | undefined

  const forget = (): void => {
    idle = []
  }
  const rest = (): void => {
    if (taken > 0) return
    if (closed) forget()
    else timer = setTimeout(forget, idleMs).unref()
  }
  return {
    slotBytes,
    get free() {
      return Math.max(0, most - taken)
    },
    take() {
      clearTimeout(timer)
      taken += 1
      // The latest one: its memory is most likely still in the processor's cache.
      if (idle.length === 0) idle = newSlots(slotBytes)
      return idle.pop() as Slot
    },
    give(slot) {
      slot.used = 0
      slot.forSink = true
      taken -= 1
      idle.push(slot)
      rest()
    },
    lose(count) {
      taken -= count
      rest()
    },
    close() {
      closed = true
      clearTimeout(timer)
      rest()
    },
  }
}

function newSlots(bytes: number): Slot[] {
  // At the start of a page, so that a disk can take them as they are.
  const pieces = allocatePagePieces(slotsPerBlock, bytes)
  return pieces.map((memory) => ({ memory, used: 0, offset: 0, forSink: true }))
}
