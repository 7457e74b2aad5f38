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

/** The characters of the inspector's code that were reached, as V8 sees it. */
export class Coverage implements Disposable {
  readonly #session = new Session()
  /** For each file, 1 for each of its characters that was reached. */
  readonly #known = new Map<string, Uint8Array>()

  constructor() {
    this.#session.connect()
    now((done) => this.#session.post('Profiler.enable', done))
    const options = { callCount: true, detailed: true }
    now((done) => this.#session.post('Profiler.startPreciseCoverage', options, done))
  }

  /** Characters of code that were reached so far. */
  get size(): number {
    let size = 0
    for (const reached of this.#known.values()) for (const one of reached) size += one
    return size
  }

  /** Forgets the runs since the last call. */
  skip(): void {
    this.#take()
  }

  /** Whether something new was reached since the last call; with `learn`, it is not new any more. */
  hasNew(learn = false): boolean {
    let found = false
    for (const [url, reached] of this.#take()) {
      let known = this.#known.get(url)
      if (known === undefined || known.length < reached.length) {
        const longer = new Uint8Array(reached.length)
        longer.set(known ?? [])
        known = longer
        this.#known.set(url, known)
      }
      for (let at = 0; at < reached.length; at += 1) {
        if (reached[at] !== 1 || known[at] === 1) continue
        found = true
        if (!learn) return true
        known[at] = 1
      }
    }
    return found
  }

  #take(): Map<string, Uint8Array> {
    const answer = now<Profiler.TakePreciseCoverageReturnType>((done) =>
      this.#session.post('Profiler.takePreciseCoverage', done),
    )
    const files = new Map<string, Uint8Array>()
    for (const { url, functions } of answer?.result ?? []) {
      if (!url.includes('/format-policy/src/inspector/')) continue
      const ranges = functions.flatMap((one) => one.ranges)
      const reached = new Uint8Array(Math.max(0, ...ranges.map((range) => range.endOffset)))
      // What is inside comes later and says more; V8 joins neighbours, so only characters can be compared.
      ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset)
      for (const { startOffset, endOffset, count } of ranges)
        reached.fill(count > 0 ? 1 : 0, startOffset, endOffset)
      files.set(url, reached)
    }
    return files
  }

  [Symbol.dispose](): void {
    this.#session.disconnect()
  }
}
