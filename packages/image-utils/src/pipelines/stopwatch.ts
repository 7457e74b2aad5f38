import type { Clock } from '@disk-image/core'
import type { Operation } from '../telemetry/telemetry.ts'

/** Seconds by stage, for the report; telemetry hears of the stages, too. */
export class Stopwatch {
  readonly #clock: Clock
  readonly #operation: Operation
  readonly #started: number
  readonly #stages = new Map<string, number>()

  constructor(clock: Clock, operation: Operation) {
    this.#clock = clock
    this.#operation = operation
    this.#started = clock.monotonicMs()
  }

  /** Runs a stage and adds its time. */
  async time<Result>(stage: string, run: () => Promise<Result>): Promise<Result> {
    const started = this.#clock.monotonicMs()
    try {
      return await this.#operation.stage(stage, run)
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
