import { AsyncLocalStorage } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import { Random } from './random.ts'

const current = new AsyncLocalStorage<Process | undefined>()
const outside = AsyncLocalStorage.snapshot()

/** A process of the simulation. What is begun in it happens in it: it can be stopped for a while, and killed. */
export class Process {
  readonly name: string
  /** Runs something in it. */
  readonly run: <Result>(act: () => Result) => Result
  /** Until then nothing happens in it. */
  stoppedUntilMs = 0
  dead = false

  constructor(name: string) {
    this.name = name
    // Entered once and gone back to: entering anew for each event takes longer than most events.
    this.run = current.run(this, () => AsyncLocalStorage.snapshot())
  }
}

interface Event {
  /** When it happens, and when it was to happen: a process that was stopped catches up in this order. */
  atMs: number
  readonly dueMs: number
  readonly order: number
  readonly process: Process | undefined
  readonly kind: string
  readonly act: () => void
  cancelled: boolean
}

/** A promise was still pending when nothing more could happen, or when its time was over. */
export class PendingForEverError extends Error {
  override readonly name = 'PendingForEverError'
}

/** How a run ended. */
export interface SimulationResult {
  /** Events that happened. */
  readonly steps: number
  /** Of everything that happened: equal for two runs of one seed. */
  readonly hash: string
}

const real = {
  setTimeout: globalThis.setTimeout,
  setInterval: globalThis.setInterval,
  setImmediate: globalThis.setImmediate,
  clearTimeout: globalThis.clearTimeout,
  clearInterval: globalThis.clearInterval,
  clearImmediate: globalThis.clearImmediate,
  Date: globalThis.Date,
  now: performance.now.bind(performance),
}
const startMs = real.Date.UTC(2030, 0, 1)

/**
 * A world in one thread in which nothing happens but what the seed says: the clocks, timers, random numbers and
 * connections of Node.js are the simulation's while it runs, and time passes from event to event.
 *
 * Whatever is waited for must be an event of the simulation: real files and threads would bring another time in.
 */
export class Simulation {
  readonly seed: number
  readonly random: Random
  steps = 0
  /** By how much the wall clock is wrong; the monotonic one never is. */
  wallOffsetMs = 0
  readonly #events: Event[] = []
  /** Called when the simulation begins, and in turn when it is over. */
  readonly #replacements: (() => () => void)[] = []
  #order = 0
  #nowMs = 1000
  #hash = 0x811c9dc5
  #tellsAll = false

  constructor(seed: number) {
    this.seed = seed
    this.random = new Random(seed)
    this.#tellsAll = process.env['SIMULATION_TRACE'] === String(seed)
  }

  /** Milliseconds since some moment. */
  get nowMs(): number {
    return this.#nowMs
  }

  get wallMs(): number {
    return Math.floor(startMs + this.#nowMs + this.wallOffsetMs)
  }

  /** The process that runs at the moment. */
  get process(): Process | undefined {
    return current.getStore()
  }

  /** Replaces something of the runtime while the simulation runs. @param replace returns what undoes it */
  replace(replace: () => () => void): void {
    this.#replacements.push(replace)
  }

  /** Has something happen later, in a process or outside of all. @returns what takes it back */
  at(afterMs: number, kind: string, act: () => void, where?: Process): () => void {
    const event = this.#schedule(afterMs, kind, act, where)
    return () => {
      event.cancelled = true
    }
  }

  /** Adds to the trace. */
  note(text: string): void {
    if (this.#tellsAll) process.stderr.write(`${this.#nowMs.toFixed(3)} ${text}\n`)
    for (let index = 0; index < text.length; index += 1) {
      this.#hash = Math.imul(this.#hash ^ text.charCodeAt(index), 0x01000193)
    }
    this.#hash = Math.imul(this.#hash ^ Math.floor(this.#nowMs * 1000), 0x01000193)
  }

  /**
   * Runs the world until the promise has settled.
   *
   * @param limitMs simulated time after which it counts as pending for ever
   * @throws {PendingForEverError}; what the promise rejects with
   */
  async run(main: () => Promise<void>, limitMs: number): Promise<SimulationResult> {
    const undo = [replaceRuntime(this), ...this.#replacements.map((replace) => replace())]
    syncBuiltinESMExports()
    const outcomes: { readonly error?: unknown }[] = []
    const stray: unknown[] = []
    const onStray = (error: unknown): void => void stray.push(error)
    process.on('unhandledRejection', onStray)
    try {
      main().then(
        () => outcomes.push({}),
        (error: unknown) => outcomes.push({ error }),
      )
      const endMs = this.#nowMs + limitMs
      await turn()
      while (outcomes.length === 0) {
        if (!this.#step() || this.#nowMs > endMs) {
          throw new PendingForEverError(
            `pending after ${(this.#nowMs / 1000).toFixed(1)} s of simulated time`,
          )
        }
        await turn()
      }
      // What is left over may still happen, for a while.
      const leftMs = this.#nowMs + 3_600_000
      while (this.#nowMs < leftMs && this.#step()) await turn()
    } finally {
      process.removeListener('unhandledRejection', onStray)
      for (const restore of undo.toReversed()) restore()
      syncBuiltinESMExports()
    }
    const [outcome] = outcomes
    if (outcome !== undefined && 'error' in outcome) throw outcome.error
    const left = this.#events.find(({ cancelled, process: where }) => !cancelled && where?.dead !== true)
    if (left !== undefined) throw new PendingForEverError(`${left.kind} goes on after the end`)
    if (stray.length > 0)
      throw new Error(`nobody took the rejection: ${String(stray[0])}`, { cause: stray[0] })
    return { steps: this.steps, hash: (this.#hash >>> 0).toString(16) }
  }

  #schedule(afterMs: number, kind: string, act: () => void, where: Process | undefined): Event {
    const dueMs = this.#nowMs + Math.max(0, afterMs)
    this.#order += 1
    const event = { atMs: dueMs, dueMs, order: this.#order, process: where, kind, act, cancelled: false }
    push(this.#events, event)
    return event
  }

  /** One event. @returns false where there is none */
  #step(): boolean {
    for (let event = pop(this.#events); event !== undefined; event = pop(this.#events)) {
      const { process: where } = event
      if (event.cancelled || where?.dead === true) continue
      if (where !== undefined && where.stoppedUntilMs > event.atMs) {
        event.atMs = where.stoppedUntilMs
        push(this.#events, event)
        continue
      }
      this.#nowMs = event.atMs
      this.steps += 1
      this.note(event.kind)
      if (where === undefined) outside(event.act)
      else where.run(event.act)
      return true
    }
    return false
  }

  /** A timer of Node.js, as the code of a process sets it. */
  timer(kind: string, milliseconds: number, act: () => void, repeats: boolean): Timer {
    // As in Node.js, a time that can't be is one millisecond.
    const everyMs = milliseconds >= 1 && milliseconds <= 2 ** 31 - 1 ? Math.trunc(milliseconds) : 1
    const where = this.process
    const timer = new Timer()
    const begin = (): void => {
      timer.event = this.#schedule(
        everyMs,
        kind,
        () => {
          if (repeats) begin()
          act()
        },
        where,
      )
    }
    begin()
    return timer
  }
}

/** Lets everything happen that is not an event: promises, `nextTick`. */
function turn(): Promise<void> {
  return new Promise((resolve) => real.setImmediate(resolve))
}

/** What `setTimeout` returns. */
class Timer {
  event: Event | undefined

  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
  hasRef(): boolean {
    return true
  }
  close(): this {
    if (this.event !== undefined) this.event.cancelled = true
    return this
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

/** @returns what puts the real ones back */
function replaceRuntime(simulation: Simulation): () => void {
  const { random } = simulation
  class SimulatedDate extends real.Date {
    constructor(...given: ConstructorParameters<typeof Date> | []) {
      // The type has no tuple for all of its forms.
      super(...((given.length === 0 ? [simulation.wallMs] : given) as [number]))
    }
    static override now(): number {
      return simulation.wallMs
    }
  }
  const clear = (timer: unknown): void =>
    void (timer instanceof Timer ? timer.close() : real.clearTimeout(timer as NodeJS.Timeout))
  type Act = (...values: unknown[]) => void
  const timers: Record<string, unknown> = {
    setTimeout: (act: Act, milliseconds = 1, ...values: unknown[]) =>
      simulation.timer('timer', milliseconds, () => act(...values), false),
    setInterval: (act: Act, milliseconds = 1, ...values: unknown[]) =>
      simulation.timer('interval', milliseconds, () => act(...values), true),
    setImmediate: (act: Act, ...values: unknown[]) => {
      const timer = new Timer()
      const take = simulation.at(0, 'immediate', () => act(...values), simulation.process)
      timer.close = () => {
        take()
        return timer
      }
      return timer
    },
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
    Date: SimulatedDate,
  }
  const undo = [
    ...Object.entries(timers).map(([name, value]) => swap(globalThis, name, value)),
    swap(performance, 'now', () => simulation.nowMs),
    swap(process.hrtime, 'bigint', () => BigInt(Math.round(simulation.nowMs * 1e6))),
    swap(process.getBuiltinModule('node:os'), 'uptime', () => simulation.nowMs / 1000),
    swap(Math, 'random', () => random.next()),
    swap(AbortSignal, 'timeout', (milliseconds: number) => {
      const controller = new AbortController()
      const reason = new DOMException('The operation was aborted due to timeout', 'TimeoutError')
      simulation.timer('limit', milliseconds, () => controller.abort(reason), false)
      return controller.signal
    }),
    swap(process.getBuiltinModule('node:timers/promises'), 'setTimeout', wait(simulation, false)),
    swap(process.getBuiltinModule('node:timers/promises'), 'setImmediate', wait(simulation, true)),
    swap(process.getBuiltinModule('node:crypto'), 'randomUUID', () => {
      const hex = random.bytes(16).toString('hex')
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    }),
    // Where none can start, all that hashes does so in its caller's thread.
    swap(process.getBuiltinModule('node:worker_threads'), 'Worker', function () {
      throw new Error('The simulation has one thread')
    }),
  ]
  return () => {
    for (const restore of undo.toReversed()) restore()
  }
}

interface WaitOptions {
  readonly signal?: AbortSignal | undefined
}

/** `setTimeout` and `setImmediate` of `node:timers/promises`. */
function wait(simulation: Simulation, immediate: boolean) {
  return (...given: unknown[]): Promise<unknown> => {
    const [milliseconds, value, options] = immediate ? [0, ...given] : given
    const { signal } = (options ?? {}) as WaitOptions
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        take()
        reject(
          Object.assign(new Error('The operation was aborted'), {
            name: 'AbortError',
            code: 'ABORT_ERR',
            cause: signal?.reason as unknown,
          }),
        )
      }
      const finish = (): void => {
        signal?.removeEventListener('abort', aborted)
        resolve(value)
      }
      let take: () => void = () => undefined
      if (signal?.aborted === true) {
        aborted()
        return
      }
      if (immediate) take = simulation.at(0, 'immediate', finish, simulation.process)
      else {
        const timer = simulation.timer('delay', Number(milliseconds), finish, false)
        take = () => void timer.close()
      }
      signal?.addEventListener('abort', aborted, { once: true })
    })
  }
}

/** Puts something in the place of a property. @returns what undoes it */
export function swap(owner: object, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name)
  Object.defineProperty(owner, name, {
    value,
    configurable: true,
    writable: true,
    enumerable: before?.enumerable ?? true,
  })
  return () => {
    if (before === undefined) Reflect.deleteProperty(owner, name)
    else Object.defineProperty(owner, name, before)
  }
}

function isBefore(one: Event, other: Event): boolean {
  if (one.atMs !== other.atMs) return one.atMs < other.atMs
  return one.dueMs === other.dueMs ? one.order < other.order : one.dueMs < other.dueMs
}

/** A binary heap. */
function push(heap: Event[], event: Event): void {
  let index = heap.length
  heap.push(event)
  while (index > 0) {
    const parent = (index - 1) >> 1
    const above = heap[parent] as Event
    if (!isBefore(event, above)) break
    heap[index] = above
    index = parent
  }
  heap[index] = event
}

function pop(heap: Event[]): Event | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (first === undefined || last === undefined || heap.length === 0) return first
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1
    if (!isBefore(heap[child] as Event, last)) break
    heap[index] = heap[child] as Event
    index = child
  }
  heap[index] = last
  return first
}
