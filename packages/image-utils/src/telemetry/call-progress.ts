import type { Clock, Progress, ProgressListener, ProgressStage } from '@disk-image/core'

/** Milliseconds between two reports. */
const everyMs = 100
/** Milliseconds over which a rate is taken. */
const rateWindowMs = 3000

/** The pass that is measured: one stage, from its start to its end. */
interface Pass {
  readonly stage: ProgressStage
  readonly samples: { readonly atMs: number; readonly completed: number }[]
  completed: number
  /** Undefined until something is said of it. */
  hasEnd: boolean | undefined
  isComplete: boolean
}

/**
 * The progress of a call as a whole. Each pass over the data is an equal part of it; stages that run beside each other
 * are one pass, which the first of them measures. Hands on ten reports a second at most: of each stage the latest.
 */
export class CallProgress {
  readonly #listener: ProgressListener
  readonly #clock: Clock
  /** Passes of each part of the call, as far as they are known: see {@link expect}. */
  readonly #passes = new Map<unknown, number>()
  readonly #waiting = new Map<ProgressStage, Progress>()
  #stagesInTurn: ProgressStage[] = []
  #sentAtMs = -Infinity
  #last: Progress | undefined
  #pass: Pass | undefined
  #passesBefore = 0
  #fraction = 0

  constructor(listener: ProgressListener, clock: Clock) {
    this.#listener = listener
    this.#clock = clock
  }

  /** Says how many passes a part of the call makes over the data; what is said later of the same part counts. */
  expect(part: unknown, passes: number): void {
    this.#passes.set(part, passes)
  }

  /** The call begins a stage of its own: what was before is over, whether its end was known or not. */
  enter(stage: string): void {
    if (this.#pass !== undefined) this.#pass.isComplete = true
    // What is decoded meanwhile is no pass of its own.
    if (stage === 'download') this.#begin(stage)
  }

  report(progress: Progress): void {
    const nowMs = this.#clock.monotonicMs()
    this.#measure(progress, nowMs)
    this.#waiting.set(progress.stage, progress)
    if (!this.#stagesInTurn.includes(progress.stage)) this.#stagesInTurn.unshift(progress.stage)
    if (nowMs - this.#sentAtMs < everyMs) return
    this.#sentAtMs = nowMs
    const next = this.#stagesInTurn.find((stage) => this.#waiting.has(stage))
    if (next !== undefined) this.#send(next)
  }

  /** The call ended well: hands on what still waits, and that it is whole. */
  end(): void {
    const isKnown = this.#passes.size > 0
    if (isKnown) this.#fraction = 1
    if (this.#waiting.size === 0 && this.#last !== undefined && isKnown && this.#last.fraction !== 1) {
      this.#waiting.set(this.#last.stage, this.#last)
    }
    for (const stage of this.#stagesInTurn) this.#send(stage)
  }

  #send(stage: ProgressStage): void {
    const progress = this.#waiting.get(stage)
    if (progress === undefined) return
    this.#waiting.delete(stage)
    this.#stagesInTurn = [...this.#stagesInTurn.filter((other) => other !== stage), stage]
    const fraction = this.#passes.size > 0 ? this.#fraction : undefined
    this.#last = { ...progress, fraction, bytesPerSecond: this.#rate(stage) }
    this.#listener(this.#last)
  }

  #measure({ stage, completed, total, unit }: Progress, nowMs: number): void {
    const end = total ?? (unit === 'percent' ? 100 : undefined)
    // To look at what is there is no pass over it.
    if (stage !== 'inspect' && this.#isNext(stage, completed, end !== undefined)) this.#begin(stage)
    const pass = this.#pass
    if (pass?.stage !== stage) return
    pass.completed = completed
    pass.hasEnd = end !== undefined
    pass.isComplete = end !== undefined && completed >= end
    const last = pass.samples.at(-1)
    if (unit === 'bytes' && (last === undefined || nowMs - last.atMs >= everyMs)) {
      pass.samples.push({ atMs: nowMs, completed })
      while (nowMs - (pass.samples[1]?.atMs ?? nowMs) > rateWindowMs) pass.samples.shift()
    }
    if (end === undefined) return
    const passes = [...this.#passes.values()].reduce((all, one) => all + one, 0)
    const part = end === 0 ? 1 : Math.min(1, completed / end)
    const fraction = Math.min(1, (this.#passesBefore + part) / Math.max(1, passes))
    this.#fraction = Math.max(this.#fraction, fraction)
  }

  /** Whether this stage begins a pass, or takes one over whose end nobody knows. */
  #isNext(stage: ProgressStage, completed: number, hasEnd: boolean): boolean {
    const pass = this.#pass
    if (pass === undefined) return true
    if (pass.stage === stage) return pass.isComplete && completed < pass.completed
    return pass.isComplete || (hasEnd && pass.hasEnd === false)
  }

  #begin(stage: ProgressStage): void {
    if (this.#pass?.isComplete === true) this.#passesBefore++
    this.#pass = { stage, samples: [], completed: 0, hasEnd: undefined, isComplete: false }
  }

  #rate(stage: ProgressStage): number | undefined {
    if (this.#pass?.stage !== stage) return undefined
    const [first, last] = [this.#pass.samples[0], this.#pass.samples.at(-1)]
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined
    return Math.round(((last.completed - first.completed) / (last.atMs - first.atMs)) * 1000)
  }
}
