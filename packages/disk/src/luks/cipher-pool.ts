import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import {
  allocateSharedBuffer,
  type PageMemory,
  type RequestHandler,
  type Requests,
  ThreadPool,
} from '@disk-image/io'
import type { LuksCipher } from './luks-layout.ts'
import {
  type CipherDirection,
  createSectorCipher,
  type SectorCipher,
  type Sectors,
  SectorSlots,
} from './sector-cipher.ts'

/** Less is done at once where it is asked for: to hand it to a thread and back takes as long. */
const leastThreadBytes = 128 * 1024
const mostThreads = 4
const copyBuffers = 4

/** Sectors that a thread works on in place. */
interface CipherRequest extends Sectors {
  readonly cipher: LuksCipher
  /** Shared memory, which is wiped when the pool is closed. */
  readonly key: Uint8Array
  readonly direction: CipherDirection
  /** Shared memory; or part of one that has slots, and the number by which the thread knows that. */
  readonly place: Uint8Array | SlotPlace
}

interface SlotPlace {
  readonly memory: PageMemory
  readonly memoryId: number
  readonly at: number
  readonly length: number
}

/** What a thread does, whose requests are all of one key. */
export function createCipherHandler(): RequestHandler<CipherRequest, undefined> {
  let cipher: SectorCipher | undefined
  let slots: SectorSlots | undefined
  let slotsId: number | undefined
  return ({ cipher: name, key, direction, place, first, sectorBytes }) => {
    cipher ??= createSectorCipher(name, key)
    const sectors = { first, sectorBytes }
    if (place instanceof Uint8Array) {
      cipher.run(direction, place, sectors)
      return undefined
    }
    if (slots === undefined || slotsId !== place.memoryId) {
      slots = new SectorSlots(place.memory)
      slotsId = place.memoryId
    }
    cipher.runInSlot(direction, slots, place.at, place.length, sectors)
    return undefined
  }
}

/** Encrypts and decrypts with one key: much at once on several cores, little in the caller's own thread. */
export class CipherPool {
  readonly #cipher: LuksCipher
  readonly #key: Uint8Array
  readonly #own: SectorCipher
  readonly #threads: ThreadPool<CipherRequest, undefined>
  readonly #requests: Requests<CipherRequest, undefined>
  readonly #slots = new WeakMap<ArrayBufferLike, Pick<SlotPlace, 'memory' | 'memoryId'>>()
  #memories = 0

  /** @param key is copied; the caller wipes its own */
  constructor(
    cipher: LuksCipher,
    key: Uint8Array,
    most: number = Math.min(mostThreads, availableParallelism()),
  ) {
    this.#cipher = cipher
    this.#key = new Uint8Array(new SharedArrayBuffer(key.length))
    this.#key.set(key)
    this.#own = createSectorCipher(cipher, key)
    this.#threads = new ThreadPool({
      // More than one: while they work, this one reads and writes.
      most: most > 1 ? most : 0,
      start: startWorker,
      createHandler: createCipherHandler,
    })
    this.#requests = this.#threads.share()
  }

  /** Allocates for one copying, which has a few buffers of a MiB. */
  allocator(): (bytes: number) => Uint8Array {
    let pieces: Uint8Array[] | undefined
    return (bytes) => {
      pieces ??= this.allocate(copyBuffers)
      return pieces.pop()?.subarray(0, bytes) ?? allocateSharedBuffer(bytes)
    }
  }

  /** Pieces of memory, each of a MiB, that threads work on without copies. */
  allocate(count: number): Uint8Array[] {
    const slots = SectorSlots.allocate(count)
    this.#memories += 1
    this.#slots.set(slots.memory.buffer, { memory: slots.memory, memoryId: this.#memories })
    return Array.from({ length: count }, (_, index) => slots.slot(index))
  }

  /** In place; in a thread only what is in shared memory. Not under way any more when this settles. */
  async run(direction: CipherDirection, bytes: Uint8Array, sectors: Sectors): Promise<void> {
    const isShared = bytes.buffer instanceof SharedArrayBuffer
    if (!isShared || bytes.length < leastThreadBytes) this.#own.run(direction, bytes, sectors)
    else {
      const slots = this.#slots.get(bytes.buffer)
      const place = slots === undefined ? bytes : { ...slots, at: bytes.byteOffset, length: bytes.length }
      await this.#requests.run({ cipher: this.#cipher, key: this.#key, direction, place, ...sectors })
    }
  }

  async close(): Promise<void> {
    await this.#requests.close()
    await this.#threads.close()
    this.#key.fill(0)
  }
}

function startWorker(): Worker {
  // The manifest says where it is, in the sources and in the build.
  return new Worker(new URL(import.meta.resolve('#cipher-worker')), { execArgv: [], env: {} })
}
