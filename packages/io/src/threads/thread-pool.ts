import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import type { RequestHandler } from './serve-requests.ts'
import { type Task, Thread } from './thread.ts'

/** Threads that nobody uses are kept so long. */
const idleMs = 2000

/** Requests that a thread has at once, so that it never waits for the next one. */
const requestsAhead = 2

/** Of requests that belong to no lane. */
const noLane = 0

/** What a {@link ThreadPool} runs. */
export interface ThreadPoolOptions<Request, Reply> {
  /** Starts a worker whose program is {@link serveRequests}. It may throw where none can start. */
  readonly start: () => Worker
  /** What that program serves with: used here where no thread can start, as in a program bundled into one file. */
  readonly createHandler: () => RequestHandler<Request, Reply>
  /** Most threads; 0: everything runs in the caller's own. */
  readonly most: number
}

/** Requests that belong together. */
export interface Requests<Request, Reply> {
  /** What the request holds is lent until it settles. */
  run(request: Request): Promise<Reply>
  /**
   * Rejects what is not answered, and whatever comes later. That of a {@link ThreadPool.share} resolves when no thread
   * works for it any more; that of a {@link ThreadPool.lane} leaves the thread to itself.
   */
  close(): Promise<void>
}

/**
 * Runs requests in worker threads, for as many users as share it. A thread starts when there is something for it,
 * ends two seconds after the last, and doesn't hold up the end of the process while it waits.
 */
export class ThreadPool<Request, Reply> {
  readonly #options: ThreadPoolOptions<Request, Reply>
  readonly #threads = new Map<Thread<Request, Reply>, NodeJS.Timeout | undefined>()
  #queue: (Task<Request, Reply> & { readonly owner: object })[] = []
  #lanes = noLane
  #inPlace: boolean
  #handler: RequestHandler<Request, Reply> | undefined
  #runsInPlace = false
  #everRan = false
  #retired = false
  #closed = false

  constructor(options: ThreadPoolOptions<Request, Reply>) {
    this.#options = options
    this.#inPlace = options.most === 0
  }

  /** Has a thread ready: starting one takes a while. */
  warm(): void {
    if (!this.#retired && this.#threads.size === 0) this.#start()
  }

  /** Requests of which each may run in any thread, several at once. */
  share(): Requests<Request, Reply> {
    const owner = {}
    const replies = new Set<Promise<Reply>>()
    let closed = false
    return {
      run: async (request) => {
        if (closed) throw ended()
        const reply = this.#run(owner, request)
        replies.add(reply)
        try {
          return await reply
        } finally {
          replies.delete(reply)
        }
      },
      close: async () => {
        closed = true
        const dropped = this.#queue.filter((task) => task.owner === owner)
        this.#queue = this.#queue.filter((task) => task.owner !== owner)
        for (const { reject } of dropped) reject(ended())
        await Promise.allSettled(replies)
      },
    }
  }

  /** Requests that keep to one thread, and have a handler of their own there, which answers them in their order. */
  lane(): Requests<Request, Reply> & { readonly inThread: boolean } {
    this.#lanes += 1
    return new Lane(this.#lanes, this.#leastBusy(), this.#options.createHandler)
  }

  /** Keeps no thread from now on that has nothing to do. */
  async retire(): Promise<void> {
    this.#retired = true
    await Promise.all(
      [...this.#threads.keys()].filter((thread) => !isBusy(thread)).map((one) => this.#end(one)),
    )
  }

  /** Ends all threads, whatever they are doing; what is not answered rejects. */
  async close(): Promise<void> {
    this.#retired = true
    this.#closed = true
    for (const { reject } of this.#queue.splice(0)) reject(ended())
    await Promise.all([...this.#threads.keys()].map((thread) => this.#end(thread)))
  }

  #run(owner: object, request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(ended())
        return
      }
      this.#queue.push({ owner, request, resolve, reject, lose: reject })
      this.#dispatch()
    })
  }

  #start(): Thread<Request, Reply> | undefined {
    if (this.#inPlace) return undefined
    let worker: Worker
    try {
      worker = this.#options.start()
    } catch {
      this.#inPlace = this.#threads.size === 0
      return undefined
    }
    const thread: Thread<Request, Reply> = new Thread(worker, () => this.#change(thread))
    this.#threads.set(thread, undefined)
    this.#settle(thread)
    return thread
  }

  /** The thread with the fewest lanes, or a new one where all have some. */
  #leastBusy(): Thread<Request, Reply> | undefined {
    let least: Thread<Request, Reply> | undefined
    for (const thread of this.#threads.keys()) {
      if (least === undefined || thread.lanes < least.lanes) least = thread
    }
    const chosen =
      least?.lanes === 0 || this.#threads.size >= this.#options.most ? least : (this.#start() ?? least)
    if (chosen === undefined) return undefined
    chosen.lanes += 1
    this.#settle(chosen)
    return chosen
  }

  #change(thread: Thread<Request, Reply>): void {
    this.#everRan ||= thread.ready
    if (thread.ended && this.#threads.has(thread)) {
      clearTimeout(this.#threads.get(thread))
      this.#threads.delete(thread)
      // Where none ever got to run, none will.
      if (!this.#everRan) this.#inPlace = true
    }
    this.#dispatch()
  }

  /** Gives what waits to those who have little to do, and starts as many threads as there is something for. */
  #dispatch(): void {
    let starting = 0
    for (const thread of this.#threads.keys()) {
      if (!thread.ready) starting += 1
      while (thread.ready && thread.pending < requestsAhead && this.#queue.length > 0) {
        thread.send(noLane, this.#queue.shift() as Task<Request, Reply>)
      }
    }
    while (starting < this.#queue.length && this.#threads.size < this.#options.most) {
      if (this.#start() === undefined) break
      starting += 1
    }
    if (this.#inPlace) void this.#runInPlace()
    for (const thread of this.#threads.keys()) this.#settle(thread)
  }

  /** Lets the process end, and later the thread, while there is nothing for it to do. */
  #settle(thread: Thread<Request, Reply>): void {
    if (!this.#threads.has(thread)) return
    const waits = this.#queue.length > 0
    thread.hold(thread.pending > 0 || waits)
    const idle = this.#threads.get(thread)
    if (isBusy(thread) || waits) {
      clearTimeout(idle)
      this.#threads.set(thread, undefined)
    } else if (this.#retired) {
      void this.#end(thread)
    } else if (idle === undefined) {
      this.#threads.set(thread, setTimeout(() => void this.#end(thread), idleMs).unref())
    }
  }

  async #end(thread: Thread<Request, Reply>): Promise<void> {
    clearTimeout(this.#threads.get(thread))
    this.#threads.delete(thread)
    await thread.terminate()
  }

  async #runInPlace(): Promise<void> {
    if (this.#runsInPlace) return
    this.#runsInPlace = true
    const handler = (this.#handler ??= this.#options.createHandler())
    // Between two of them everything else gets its turn.
    for (let task = this.#queue.shift(); task !== undefined; task = this.#queue.shift()) {
      answer(handler, task)
      await nextTurn()
    }
    this.#runsInPlace = false
  }
}

/** Keeps to one thread. Where that never answered, nothing is lost: what is lent is still there, and runs here. */
class Lane<Request, Reply> implements Requests<Request, Reply> {
  readonly #id: number
  readonly #thread: Thread<Request, Reply> | undefined
  readonly #createHandler: () => RequestHandler<Request, Reply>
  readonly #pending = new Set<Task<Request, Reply>>()
  #handler: RequestHandler<Request, Reply> | undefined
  #answered = false
  #failure: Error | undefined
  #closed = false

  constructor(
    id: number,
    thread: Thread<Request, Reply> | undefined,
    createHandler: () => RequestHandler<Request, Reply>,
  ) {
    this.#id = id
    this.#thread = thread
    this.#createHandler = createHandler
    if (thread === undefined) this.#handler = createHandler()
  }

  get inThread(): boolean {
    return this.#handler === undefined
  }

  async run(request: Request): Promise<Reply> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#handler !== undefined) return this.#handler(request)
    return new Promise((resolve, reject) => {
      const settle = <Value>(act: (value: Value) => void, value: Value): void => {
        this.#answered = true
        if (this.#pending.delete(task)) act(value)
      }
      const task: Task<Request, Reply> = {
        request,
        resolve: (reply) => settle(resolve, reply),
        reject: (error) => settle(reject, error),
        lose: (error) => this.#lose(task, error),
      }
      this.#pending.add(task)
      this.#thread?.send(this.#id, task)
    })
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#closed = true
    this.#fail(new Error('The job was closed'))
    this.#thread?.leave(this.#id)
    return Promise.resolve()
  }

  #lose(task: Task<Request, Reply>, error: Error): void {
    if (this.#failure !== undefined) return
    if (this.#answered && this.#handler === undefined) this.#fail(error)
    else answer((this.#handler ??= this.#createHandler()), task)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const task of this.#pending) task.reject(this.#failure)
  }
}

function answer<Request, Reply>(handler: RequestHandler<Request, Reply>, task: Task<Request, Reply>): void {
  try {
    task.resolve(handler(task.request))
  } catch (error) {
    task.reject(error)
  }
}

function isBusy({ pending, lanes }: { readonly pending: number; readonly lanes: number }): boolean {
  return pending > 0 || lanes > 0
}

function ended(): Error {
  return new Error('The threads were ended')
}
