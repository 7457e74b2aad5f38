import type { Progress } from '@disk-image/core'
import type { JobFailure, JobProgress } from '../jobs/job.ts'

/** Milliseconds between two reports of the same stage. */
const everyMs = 500

/** Who reports. */
interface Reporter {
  readonly worker: string
  readonly host: string
}

/** Hands a job's progress on, with its rate: at most twice a second, and every change of stage at once. */
export class ProgressReporter {
  readonly #send: (progress: JobProgress) => Promise<void>
  readonly #who: Reporter
  #latest: Progress | undefined
  #stageBeganMs = 0
  #stageBeganAt = 0
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> = Promise.resolve()
  #bytes = 0
  #fencingToken = 0

  constructor(who: Reporter, send: (progress: JobProgress) => Promise<void>) {
    this.#who = who
    this.#send = send
  }

  /** Bytes that went through, over all stages. */
  get bytes(): number {
    return this.#bytes
  }

  /** Names what is done before the facade does. */
  begin(stage: string, fencingToken: number): void {
    this.#fencingToken = fencingToken
    this.#flush({ stage, completed: 0, unit: 'bytes', rateBytesPerSecond: 0 })
  }

  report(progress: Progress): void {
    const before = this.#latest
    this.#latest = progress
    const goesOn = before?.stage === progress.stage && before.completed <= progress.completed
    if (!goesOn) {
      this.#stageBeganMs = performance.now()
      this.#stageBeganAt = progress.completed
      this.#now()
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.#now(), everyMs)
    }
    if (progress.unit === 'bytes') this.#bytes += progress.completed - (goesOn ? before.completed : 0)
  }

  /** Says why the attempt failed, and waits until that is known. */
  async fail(error: JobFailure): Promise<void> {
    clearTimeout(this.#timer)
    this.#flush({ ...this.#picture(), error })
    await this.#sending
  }

  /** Says no more, and waits until what was said is known. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#sending
  }

  #now(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flush(this.#picture())
  }

  #picture(): Omit<JobProgress, keyof Reporter | 'fencingToken'> {
    const latest = this.#latest
    if (latest === undefined) return { stage: 'begin', completed: 0, unit: 'bytes', rateBytesPerSecond: 0 }
    const { stage, completed, total, unit } = latest
    const seconds = (performance.now() - this.#stageBeganMs) / 1000
    const rate = unit === 'bytes' && seconds > 0.05 ? (completed - this.#stageBeganAt) / seconds : 0
    return {
      stage,
      completed,
      ...(total === undefined ? {} : { total }),
      unit,
      rateBytesPerSecond: Math.round(rate),
    }
  }

  #flush(progress: Omit<JobProgress, keyof Reporter | 'fencingToken'>): void {
    const whole: JobProgress = { ...progress, ...this.#who, fencingToken: this.#fencingToken }
    // A report that doesn't arrive is followed by another one.
    this.#sending = this.#sending.then(() => this.#send(whole)).catch(() => undefined)
  }
}
