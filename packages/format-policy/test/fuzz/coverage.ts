import { type Profiler, Session } from 'node:inspector'

/** What a callback of the inspector protocol, which is called at once, was given. */
function now<T>(call: (done: (error: Error | null, value?: T) => void) => void): T | undefined {
  let answer: T | undefined
  call((error, value) => {
    if (error !== null) throw error
    answer = value
  })
  return answer
}

/** The blocks of the inspector's code that were reached, as V8 counts them. */
export class Coverage implements Disposable {
  readonly #session = new Session()
  readonly #known = new Set<string>()

  constructor() {
    this.#session.connect()
    now((done) => this.#session.post('Profiler.enable', done))
    const options = { callCount: true, detailed: true }
    now((done) => this.#session.post('Profiler.startPreciseCoverage', options, done))
  }

  /** Blocks reached so far, with how often they were: once, a few times, often. */
  get size(): number {
    return this.#known.size
  }

  /** Forgets the runs since the last call. */
  skip(): void {
    this.#take()
  }

  /** How many of the blocks that ran since the last call are new; they are known from now on. */
  count(): number {
    const before = this.#known.size
    for (const block of this.#take()) this.#known.add(block)
    return this.#known.size - before
  }

  /** Whether there is a block among those that is new; nothing is known afterwards that was not before. */
  hasNew(): boolean {
    return this.#take().some((block) => !this.#known.has(block))
  }

  #take(): string[] {
    const answer = now<Profiler.TakePreciseCoverageReturnType>((done) =>
      this.#session.post('Profiler.takePreciseCoverage', done),
    )
    const blocks: string[] = []
    for (const { url, functions } of answer?.result ?? []) {
      if (!url.includes('/format-policy/src/inspector/')) continue
      const file = url.slice(url.lastIndexOf('/') + 1)
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count > 0) blocks.push(`${file}:${startOffset}-${endOffset}`)
        }
      }
    }
    return blocks
  }

  [Symbol.dispose](): void {
    this.#session.disconnect()
  }
}
