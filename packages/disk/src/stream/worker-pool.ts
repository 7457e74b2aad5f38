import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { BufferPool, BufferShare } from './buffer-pool.ts'
import type { WorkerMessage, WorkerRequest } from './decode-worker.ts'
import { requestBytes } from './cluster-reader.ts'
import { type DecodeReply, type DecodeRequest, DecodeTasks } from './decode-tasks.ts'
import { inflateSlackBytes } from './inflate-cluster.ts'

/** What one decoding has of a {@link WorkerPool}. */
export interface WorkerShare {
  readonly buffers: BufferShare
  /** The request's buffer is the worker's until the reply. */
  run(request: DecodeRequest): Promise<DecodeReply>
  /** Rejects what waits, and resolves when no thread works for this decoding any more. */
  cancel(): Promise<void>
}

interface Job {
  readonly owner: object
  readonly request: DecodeRequest
  readonly resolve: (reply: DecodeReply) => void
  readonly reject: (error: unknown) => void
}

interface Slot {
  readonly worker: Worker
  readonly jobs: Map<number, Job>
  ready: boolean
}

/** Jobs that a worker has at once, so that it never waits for the next one. */
const jobsPerWorker = 2

/** Threads and memory that nobody uses are kept so long. */
const idleMs = 2000

/** Buffers that a decoding can always have, whatever others do. */
const leastBuffers = 3

/** As many as keep so many workers busy, while others are written. */
function buffersOf(workers: number): number {
  return Math.max(4, workers * 2 + 2)
}

/** The workers' own objects are small and short-lived; what they inflate is outside the heap. */
const workerLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 }

/**
 * Runs {@link DecodeTasks} in worker threads, for as many disks as share it. They start with the first job, and end
 * some time after the last. Where none can start, as in a program bundled into one file, jobs run in place.
 */
export class WorkerPool {
  readonly #count: number
  readonly #buffers: BufferPool
  #slots: Slot[] = []
  #waiting: Job[] = []
  #nextId = 0
  #inPlace: boolean
  #tasks: DecodeTasks | undefined
  #inPlaceRuns = false
  #busy = false
  #idle: NodeJS.Timeout | undefined
  #closed = false

  /** @param count workers; 0: everything runs in place */
  constructor(count: number) {
    this.#count = count
    this.#inPlace = count === 0
    this.#buffers = new BufferPool(2 * buffersOf(count), requestBytes + inflateSlackBytes)
  }

  share(): WorkerShare {
    const owner = {}
    const replies = new Set<Promise<DecodeReply>>()
    let cancelled = false
    return {
      buffers: new BufferShare(this.#buffers, leastBuffers, buffersOf(this.#count)),
      run: async (request) => {
        if (cancelled) throw closed()
        const reply = this.#run(owner, request)
        replies.add(reply)
        try {
          return await reply
        } finally {
          replies.delete(reply)
        }
      },
      cancel: async () => {
        cancelled = true
        this.#drop(owner)
        await Promise.allSettled(replies)
      },
    }
  }

  /** Ends all workers, whatever they are doing; their jobs reject. */
  async close(): Promise<void> {
    this.#closed = true
    for (const job of this.#waiting.splice(0)) job.reject(closed())
    await this.#end()
  }

  #run(owner: object, request: DecodeRequest): Promise<DecodeReply> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(closed())
        return
      }
      this.#waiting.push({ owner, request, resolve, reject })
      if (this.#slots.length === 0 && !this.#inPlace) this.#start()
      this.#dispatch()
    })
  }

  #drop(owner: object): void {
    const dropped = this.#waiting.filter((job) => job.owner === owner)
    this.#waiting = this.#waiting.filter((job) => job.owner !== owner)
    for (const { reject } of dropped) reject(closed())
    this.#settle()
  }

  #start(): void {
    try {
      // The manifest says where it lies, in the sources and in the build.
      const file = new URL(import.meta.resolve('#decode-worker'))
      for (let index = 0; index < this.#count; index += 1) {
        const worker = new Worker(file, {
          execArgv: [],
          env: {},
          resourceLimits: workerLimits,
        })
        const slot: Slot = { worker, jobs: new Map(), ready: false }
        this.#slots.push(slot)
        worker.on('message', (message: WorkerMessage) => this.#receive(slot, message))
        worker.on('error', (error) => this.#lose(slot, error))
        worker.on('exit', () => this.#lose(slot, new Error('a decoding worker ended')))
      }
    } catch {
      this.#inPlace = this.#slots.length === 0
    }
  }

  async #end(): Promise<void> {
    clearTimeout(this.#idle)
    this.#buffers.clear()
    const slots = this.#slots
    this.#slots = []
    await Promise.all(
      slots.map(async (slot) => {
        await slot.worker.terminate()
        for (const job of slot.jobs.values()) job.reject(closed())
      }),
    )
  }

  #receive(slot: Slot, message: WorkerMessage): void {
    if ('ready' in message) slot.ready = true
    else {
      const job = slot.jobs.get(message.id)
      slot.jobs.delete(message.id)
      job?.resolve(message.reply)
    }
    this.#dispatch()
  }

  #lose(slot: Slot, error: unknown): void {
    if (!this.#slots.includes(slot)) return
    this.#slots = this.#slots.filter((other) => other !== slot)
    for (const job of slot.jobs.values()) job.reject(error)
    slot.jobs.clear()
    if (this.#slots.length === 0) {
      if (!slot.ready) this.#inPlace = true
      else if (this.#waiting.length > 0) this.#start()
    }
    this.#dispatch()
  }

  #dispatch(): void {
    if (this.#closed) return
    if (this.#inPlace) {
      void this.#runInPlace()
      return
    }
    for (const slot of this.#slots) {
      while (slot.ready && slot.jobs.size < jobsPerWorker) {
        const job = this.#waiting.shift()
        if (job === undefined) break
        const message: WorkerRequest = { id: this.#nextId, request: job.request }
        this.#nextId += 1
        slot.jobs.set(message.id, job)
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
        slot.worker.postMessage(message)
      }
    }
    this.#settle()
  }

  /** Lets the process end, and later the threads, while there is nothing to do. */
  #settle(): void {
    const busy = this.#waiting.length > 0 || this.#slots.some(({ jobs }) => jobs.size > 0)
    if (busy === this.#busy) return
    this.#busy = busy
    clearTimeout(this.#idle)
    if (!busy) this.#idle = setTimeout(() => void this.#end(), idleMs).unref()
    for (const { worker } of this.#slots) {
      if (busy) worker.ref()
      else worker.unref()
    }
  }

  async #runInPlace(): Promise<void> {
    if (this.#inPlaceRuns) return
    this.#inPlaceRuns = true
    const tasks = (this.#tasks ??= new DecodeTasks())
    // Between two jobs everything else gets its turn.
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      job.resolve(tasks.run(job.request))
      await nextTurn()
    }
    this.#inPlaceRuns = false
  }
}

function closed(): Error {
  return new Error('the decoding workers were ended')
}
