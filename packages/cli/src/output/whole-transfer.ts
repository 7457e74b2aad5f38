import type { Progress } from '@disk-image/core'

/** Milliseconds between two samples. */
const everyMs = 100
/** Milliseconds over which a rate, and the time that is left, are taken. */
const windowMs = 5000

/** How far a transfer is, as one whole: nothing of it goes back when another stage begins. */
export interface WholePicture {
  readonly stage: string
  /** Undefined where no stage counts bytes. */
  readonly bytes: number | undefined
  /** Undefined where the end is not known. */
  readonly total: number | undefined
  readonly fraction: number | undefined
  /** Of the stage. */
  readonly bytesPerSecond: number | undefined
  readonly secondsLeft: number | undefined
  readonly resumes: number
}

/** Makes one whole of what the stages of a transfer report. */
export class WholeTransfer {
  readonly #samples: { readonly atMs: number; readonly fraction: number }[] = []
  readonly #stageSamples: { readonly atMs: number; readonly completed: number }[] = []
  #stage: Progress | undefined
  #stageAtMs = 0
  #total: number | undefined
  #bytes: number | undefined
  #fraction: number | undefined
  #resumes = 0

  note(progress: Progress, atMs: number): void {
    const { stage, completed, total, unit, resumes } = progress
    if (this.#isShown(stage, atMs)) {
      if (this.#stage?.stage !== stage) this.#stageSamples.length = 0
      this.#stage = progress
      this.#stageAtMs = atMs
      if (unit === 'bytes') push(this.#stageSamples, { atMs, completed })
    }
    this.#resumes = Math.max(this.#resumes, resumes ?? 0)
    // To look at what is there is no part of moving it.
    const isLook = stage === 'inspect'
    const end = total ?? (unit === 'percent' ? 100 : undefined)
    const own = end === undefined || isLook ? undefined : end === 0 ? 1 : Math.min(1, completed / end)
    const fraction = progress.fraction ?? own
    if (fraction !== undefined) {
      this.#fraction = Math.max(this.#fraction ?? 0, fraction)
      push(this.#samples, { atMs, fraction: this.#fraction })
    }
    if (unit === 'bytes' && !isLook) {
      this.#total ??= total
      const bytes =
        this.#total === undefined || this.#fraction === undefined
          ? completed
          : Math.floor(this.#total * this.#fraction)
      this.#bytes = Math.max(this.#bytes ?? 0, bytes)
    }
  }

  /** Undefined before anything was reported. */
  picture(): WholePicture | undefined {
    if (this.#stage === undefined) return undefined
    const perSecond = slope(this.#samples.map(({ atMs, fraction }) => [atMs, fraction]))
    const left = this.#fraction === undefined || !perSecond ? undefined : (1 - this.#fraction) / perSecond
    const rate =
      this.#stage.bytesPerSecond ?? slope(this.#stageSamples.map(({ atMs, completed }) => [atMs, completed]))
    return {
      stage: this.#stage.stage,
      bytes: this.#bytes,
      total: this.#total,
      fraction: this.#fraction,
      bytesPerSecond: rate === undefined ? undefined : Math.round(rate),
      secondsLeft: left === undefined ? undefined : Math.round(left * 10) / 10,
      resumes: this.#resumes,
    }
  }

  /** Of stages that run beside each other the first is shown, until it is through. */
  #isShown(stage: string, atMs: number): boolean {
    const now = this.#stage
    if (now === undefined || now.stage === stage || atMs - this.#stageAtMs > 2000) return true
    const end = now.total ?? (now.unit === 'percent' ? 100 : undefined)
    return now.stage === 'inspect' || (end !== undefined && now.completed >= end)
  }
}

function push<Sample extends { readonly atMs: number }>(samples: Sample[], sample: Sample): void {
  const last = samples.at(-1)
  if (last !== undefined && sample.atMs - last.atMs < everyMs) return
  samples.push(sample)
  while (samples.length > 2 && sample.atMs - (samples[1]?.atMs ?? sample.atMs) > windowMs) samples.shift()
}

/** What is gained each second; undefined while that can't be told. */
function slope(points: readonly (readonly [atMs: number, value: number])[]): number | undefined {
  const [first, last] = [points[0], points.at(-1)]
  if (first === undefined || last === undefined || last[0] - first[0] < everyMs) return undefined
  return Math.max(0, ((last[1] - first[1]) / (last[0] - first[0])) * 1000)
}
