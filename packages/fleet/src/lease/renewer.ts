import { Worker } from 'node:worker_threads'
import type { Redis } from 'ioredis'
import type { FleetConnection } from '../redis/connection.ts'
import { type LeaseState, type RenewalRequest, Renewals } from './renewals.ts'

/** What the thread is started with. */
export interface RenewalData {
  readonly connection: FleetConnection
  readonly timeoutMs: number
}

/** To the thread. */
export type RenewalMessage = { readonly id: number } & (
  | { readonly act: 'add'; readonly request: RenewalRequest }
  | { readonly act: 'remove' }
  | { readonly act: 'ask'; readonly asked: number }
)

/** From the thread: the answer to what was asked, without a state where Redis gave none; or what it noted by itself. */
export interface RenewalAnswer {
  readonly id: number
  readonly state: LeaseState | undefined
  readonly asked?: number
}

/** Called with what Redis says of a lease that isn't just kept. */
type Listener = (state: LeaseState) => void

/**
 * Renews leases in a thread that does nothing else, with a connection of its own: however busy the process is, they are
 * kept. Where no such thread can run it is done here.
 */
export class Renewer {
  readonly #redis: Redis
  readonly #leases = new Map<number, { readonly request: RenewalRequest; readonly listener: Listener }>()
  readonly #questions = new Map<number, (state: LeaseState | undefined) => void>()
  #worker: Worker | undefined
  #here: Renewals | undefined
  #count = 0

  /** @param redis with what it is done where `data` is absent, or no thread can run */
  constructor(redis: Redis, data?: RenewalData) {
    this.#redis = redis
    try {
      if (data === undefined) throw new Error('no thread is wanted')
      this.#worker = new Worker(new URL(import.meta.resolve('#renewal-worker')), {
        execArgv: [],
        workerData: data,
        name: 'disk-image-leases',
      })
    } catch {
      // An option of TLS may be a function, which goes into no other thread.
      this.#renewHere()
      return
    }
    this.#worker.unref()
    this.#worker.on('message', (answer: RenewalAnswer) => this.#receive(answer))
    this.#worker.on('error', () => undefined)
    this.#worker.on('exit', () => this.#renewHere())
  }

  /** @returns what it is called here */
  add(request: RenewalRequest, listener: Listener): number {
    this.#count += 1
    const id = this.#count
    this.#leases.set(id, { request, listener })
    this.#here?.add(id, request)
    this.#post({ act: 'add', id, request })
    return id
  }

  remove(id: number): void {
    this.#leases.delete(id)
    this.#here?.remove(id)
    this.#post({ act: 'remove', id })
  }

  /** Renews it now. @returns undefined where Redis gave no answer */
  async ask(id: number): Promise<LeaseState | undefined> {
    if (this.#here !== undefined) return this.#here.ask(id).catch(() => undefined)
    this.#count += 1
    const asked = this.#count
    return new Promise((resolve) => {
      this.#questions.set(asked, resolve)
      this.#post({ act: 'ask', id, asked })
    })
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    worker?.removeAllListeners('exit')
    this.#leases.forEach((_, id) => this.#here?.remove(id))
    this.#answerAll()
    await worker?.terminate()
  }

  #post(message: RenewalMessage): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#worker?.postMessage(message)
  }

  #receive({ id, state, asked }: RenewalAnswer): void {
    if (asked === undefined) {
      if (state !== undefined) this.#leases.get(id)?.listener(state)
      return
    }
    this.#questions.get(asked)?.(state)
    this.#questions.delete(asked)
  }

  #renewHere(): void {
    this.#worker = undefined
    this.#here = new Renewals(this.#redis, (id, state) => this.#leases.get(id)?.listener(state))
    for (const [id, { request }] of this.#leases) this.#here.add(id, request)
    this.#answerAll()
  }

  #answerAll(): void {
    for (const answer of this.#questions.values()) answer(undefined)
    this.#questions.clear()
  }
}
