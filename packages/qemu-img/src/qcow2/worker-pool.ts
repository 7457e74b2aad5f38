import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { WorkerMessage, WorkerRequest } from './decode-worker.ts'
import { Gatherer, type GatherReply, type GatherRequest } from './gather.ts'

interface Job {
  readonly request: GatherRequest
  readonly resolve: (reply: GatherReply) => void
  readonly reject: (error: unknown) => void
}

interface Slot {
  readonly worker: Worker
  readonly jobs: Map<number, Job>
  ready: boolean
}

/** Jobs that a worker has at once, so that it never waits for the next one. */
const jobsPerWorker = 2

/** The workers' own objects are small and short-lived; what they inflate is outside the heap. */
const workerLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 128 }

/**
 * Runs a {@link Gatherer} in worker threads, for one disk. They start with the first job. Where none can start, as
 * in a program bundled into one file, jobs run in place.
 */
export class WorkerPool {
  readonly #count: number
  #slots: Slot[] = []
  #waiting: Job[] = []
  #nextId = 0
  #inPlace: boolean
  #gatherer: Gatherer | undefined
  #inPlaceRuns = false
  #started = false
  #closed = false

  /** @param count workers; 0: everything runs in place */
  constructor(count: number) {
    this.#count = count
    this.#inPlace = count === 0
  }

  /** The request's buffer is handed over, and back with the reply. */
  run(request: GatherRequest): Promise<GatherReply> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(closed())
        return
      }
      this.#waiting.push({ request, resolve, reject })
      if (!this.#started && !this.#inPlace) this.#start()
      this.#dispatch()
    })
  }

  /** Ends all workers, whatever they are doing; their jobs reject. */
  async close(): Promise<void> {
    this.#closed = true
    const slots = this.#slots
    this.#slots = []
    for (const job of this.#waiting.splice(0)) job.reject(closed())
    await Promise.all(
      slots.map(async (slot) => {
        await slot.worker.terminate()
        for (const job of slot.jobs.values()) job.reject(closed())
      }),
    )
  }

  #start(): void {
    this.#started = true
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
    this.#slots = this.#slots.filter((other) => other !== slot)
    for (const job of slot.jobs.values()) job.reject(error)
    slot.jobs.clear()
    if (this.#slots.length === 0) this.#inPlace = true
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
        if (job === undefined) return
        const message: WorkerRequest = { id: this.#nextId, request: job.request }
        this.#nextId += 1
        slot.jobs.set(message.id, job)
        slot.worker.postMessage(message, [job.request.output])
      }
    }
  }

  async #runInPlace(): Promise<void> {
    if (this.#inPlaceRuns) return
    this.#inPlaceRuns = true
    const gatherer = (this.#gatherer ??= new Gatherer())
    // Between two jobs everything else gets its turn.
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      job.resolve(gatherer.gather(job.request))
      await nextTurn()
    }
    this.#inPlaceRuns = false
  }
}

function closed(): Error {
  return new Error('the decoding workers were ended')
}
