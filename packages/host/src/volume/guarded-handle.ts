import { ftruncateSync, writeSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import type { WriteRight } from '@disk-image/core'
import { type Requests, ThreadPool } from '@disk-image/io'
import { createBootClock } from '../clock.ts'

/** One change of a file that is open in this process. */
export interface WriteRequest {
  readonly fd: number
  readonly until: WriteRight['until']
  /** Undefined: the file gets `offset` as its length. */
  readonly bytes: Uint8Array | undefined
  readonly offset: number
}

/** Bytes that were written, that the right was over before, or how the kernel refused. */
export type WriteReply =
  | { readonly bytesWritten: number }
  | 'over'
  | Pick<NodeJS.ErrnoException, 'code' | 'message' | 'syscall'>

/** Makes each change by the thread that looked at the clock, and at once: nothing waits between the two. */
export function createWriteHandler(): (request: WriteRequest) => WriteReply {
  const nowMs = createBootClock()
  return ({ fd, until, bytes, offset }) => {
    try {
      if (nowMs() >= Number(Atomics.load(until, 0))) return 'over'
      if (bytes !== undefined) return { bytesWritten: writeSync(fd, bytes, 0, bytes.length, offset) }
      ftruncateSync(fd, offset)
      return { bytesWritten: 0 }
    } catch (error) {
      const { code, message, syscall } = error as NodeJS.ErrnoException
      return { code, message, syscall }
    }
  }
}

type Guarded = Pick<FileHandle, 'fd' | 'truncate' | 'write'>

/**
 * Changes files only while a right to it holds. Node.js' own threads know nothing of that: what waits for them when the
 * process is stopped would be written when it goes on, whoever has the file by then. So these have threads of their
 * own, which look before each write.
 */
export class WriteGuard {
  readonly #right: WriteRight
  readonly #threads: ThreadPool<WriteRequest, WriteReply>
  readonly #requests: Requests<WriteRequest, WriteReply>
  readonly #nowMs = createBootClock()

  /** @param most threads: as many writes at once */
  constructor(right: WriteRight, most = 2) {
    this.#right = right
    this.#threads = new ThreadPool({ most, start: startWorker, createHandler: createWriteHandler })
    this.#requests = this.#threads.share()
  }

  /** Asks once more, whatever the clock says. @throws where the right is gone */
  confirm(): Promise<void> {
    return this.#right.confirm()
  }

  /** The same handle, whose changes are guarded. */
  guard<Handle extends Guarded>(handle: Handle): Handle {
    const { write, truncate } =
      handle.fd < 0
        ? {
            // A tool writes: it is started while the right holds.
            write: (...args: Parameters<Guarded['write']>) => this.#whileHeld(() => handle.write(...args)),
            truncate: (length?: number) => this.#whileHeld(() => handle.truncate(length)),
          }
        : this.#inThread(handle)
    return new Proxy(handle, {
      get(target, name) {
        if (name === 'write') return write
        if (name === 'truncate') return truncate
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value
      },
    })
  }

  async close(): Promise<void> {
    await this.#requests.close()
    await this.#threads.close()
  }

  #inThread({ fd }: Guarded): object & { write: unknown; truncate: unknown } {
    return {
      write: async (bytes: Uint8Array, from: number, length: number, offset: number) => {
        const part = bytes.subarray(from, from + length)
        // What is no shared memory is copied on its way, with all that is around it.
        const sent = part.buffer instanceof SharedArrayBuffer ? part : new Uint8Array(part)
        return { bytesWritten: await this.#change(fd, sent, offset), buffer: bytes }
      },
      truncate: async (length = 0) => void (await this.#change(fd, undefined, length)),
    }
  }

  async #change(fd: number, bytes: Uint8Array | undefined, offset: number): Promise<number> {
    for (;;) {
      const reply = await this.#requests.run({ fd, until: this.#right.until, bytes, offset })
      if (reply === 'over') await this.#right.confirm()
      else if ('bytesWritten' in reply) return reply.bytesWritten
      else throw Object.assign(new Error(reply.message), reply)
    }
  }

  async #whileHeld<Result>(act: () => Promise<Result>): Promise<Result> {
    if (this.#nowMs() >= Number(Atomics.load(this.#right.until, 0))) await this.#right.confirm()
    return act()
  }
}

function startWorker(): Worker {
  return new Worker(new URL(import.meta.resolve('#write-worker')), {
    execArgv: [],
    env: {},
    name: 'disk-image-write',
  })
}
