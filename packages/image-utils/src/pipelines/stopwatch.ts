import type { Clock } from '@disk-image/core'

/** Seconds by stage, for the report. */
export class Stopwatch {
  readonly #clock: Clock
  readonly #started: number
  readonly #stages = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
    this.#started = clock.monotonicMs()
  }

  /** Runs a stage and adds its time. */
  async time<Result>(stage: string, operation: () => Promise<Result>): Promise<Result> {
    const started = this.#clock.monotonicMs()
    try {
      return await operation()
    } finally {
      const soFar = this.#stages.get(stage) ?? 0
      this.#stages.set(stage, soFar + this.#clock.monotonicMs() - started)
    }
  }

  /** Seconds of one stage, 0 where it didn't happen. */
  seconds(stage: string): number {
    return toSeconds(this.#stages.get(stage) ?? 0)
  }

  /** Seconds since the stopwatch was made. */
  total(): number {
    return toSeconds(this.#clock.monotonicMs() - this.#started)
  }
}

function toSeconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000
}
