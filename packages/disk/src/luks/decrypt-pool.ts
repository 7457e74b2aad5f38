import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type RequestHandler, type Requests, ThreadPool } from '@disk-image/io'
import type { LuksCipher } from './cipher-name.ts'
import { createSectorCipher, type SectorCipher } from './sector-cipher.ts'

/** Less is decrypted at once where it is asked for: to hand it to a thread and back takes as long. */
const leastThreadBytes = 256 * 1024
const mostThreads = 4

/** Sectors that a thread decrypts in place. */
interface DecryptRequest {
  readonly cipher: LuksCipher
  /** Shared memory, which is wiped when the disk is closed. */
  readonly key: Uint8Array
  /** Shared memory. */
  readonly bytes: Uint8Array
  readonly first: number
  readonly sectorBytes: number
}

/** What a thread does, whose requests are all of one disk. */
export function createDecryptHandler(): RequestHandler<DecryptRequest, undefined> {
  let known: SectorCipher | undefined
  return ({ cipher, key, bytes, first, sectorBytes }) => {
    known ??= createSectorCipher(cipher, key)
    known.decrypt(bytes, bytes, first, sectorBytes)
    return undefined
  }
}

/** Decrypts the sectors of one disk: much at once on several cores, little in the caller's own thread. */
export class DecryptPool {
  readonly #cipher: LuksCipher
  readonly #key: Uint8Array
  readonly #own: SectorCipher
  readonly #threads: ThreadPool<DecryptRequest, undefined>
  readonly #requests: Requests<DecryptRequest, undefined>

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
      createHandler: createDecryptHandler,
    })
    this.#requests = this.#threads.share()
  }

  /** Decrypts in place; in a thread only what is in shared memory. Not under way any more when this settles. */
  async decrypt(bytes: Uint8Array, first: number, sectorBytes: number): Promise<void> {
    const isShared = bytes.buffer instanceof SharedArrayBuffer
    if (!isShared || bytes.length < leastThreadBytes) this.#own.decrypt(bytes, bytes, first, sectorBytes)
    else await this.#requests.run({ cipher: this.#cipher, key: this.#key, bytes, first, sectorBytes })
  }

  async close(): Promise<void> {
    await this.#requests.close()
    await this.#threads.close()
    this.#key.fill(0)
  }
}

function startWorker(): Worker {
  // The manifest says where it is, in the sources and in the build.
  return new Worker(new URL(import.meta.resolve('#decrypt-worker')), { execArgv: [], env: {} })
}
