import { formatBytes, type Progress, type ProgressStage } from '@disk-image/core'
import type { TextStream } from '../io.ts'
import { formatRate, formatSeconds } from './units.ts'

/** Milliseconds between two pictures of a running stage. */
const redrawMs = 100
/** Milliseconds over which a rate is taken. */
const rateWindowMs = 3000

/** Shows how far an operation is. */
export interface ProgressDisplay {
  report(progress: Progress): void
  /** Takes a picture that stands on the terminal away, so that a line can be written. */
  clear(): void
  /** The last word: what each stage came to. */
  finish(): void
}

interface Sample {
  readonly atMs: number
  readonly completed: number
}

interface Stage {
  readonly startedMs: number
  readonly samples: Sample[]
  latest: Progress
  latestMs: number
  announced: boolean
}

/** Says nothing. */
export const silentProgress: ProgressDisplay = Object.freeze({
  report: () => undefined,
  clear: () => undefined,
  finish: () => undefined,
})

/** A line that is drawn anew on a terminal; one line for each stage, once it is through, anywhere else. */
export function createProgressDisplay(
  stream: TextStream,
  nowMs: () => number = () => performance.now(),
): ProgressDisplay {
  const stages = new Map<ProgressStage, Stage>()
  const live = stream.isTTY === true
  let drawn = false
  let drawnAtMs = -Infinity
  const clear = (): void => {
    if (drawn) stream.write('\r\u001b[K')
    drawn = false
  }
  const announce = (stage: Stage): void => {
    if (stage.announced) return
    stage.announced = true
    clear()
    stream.write(`${summary(stage)}\n`)
  }
  const draw = (atMs: number): void => {
    const running = [...stages.values()].filter((stage) => !stage.announced)
    if (running.length === 0) return
    const line = running.map((stage) => picture(stage, running.length > 1)).join('  ')
    stream.write(`\r${line.slice(0, Math.max(20, (stream.columns ?? 80) - 1))}\u001b[K`)
    drawn = true
    drawnAtMs = atMs
  }
  return {
    report: (progress) => {
      const atMs = nowMs()
      const known = stages.get(progress.stage)
      // What was through and moves again is another run of the same stage.
      const goesOn = known !== undefined && (!known.announced || isComplete(progress))
      const stage = goesOn ? known : begin(progress, atMs)
      stages.set(progress.stage, stage)
      note(stage, progress, atMs)
      if (isComplete(progress)) announce(stage)
      else if (live && atMs - drawnAtMs >= redrawMs) draw(atMs)
    },
    clear,
    finish: () => {
      for (const stage of stages.values()) announce(stage)
      clear()
    },
  }
}

function begin(progress: Progress, atMs: number): Stage {
  return { startedMs: atMs, samples: [], latest: progress, latestMs: atMs, announced: false }
}

function note(stage: Stage, progress: Progress, atMs: number): void {
  stage.latest = progress
  stage.latestMs = atMs
  const last = stage.samples.at(-1)
  if (last !== undefined && atMs - last.atMs < redrawMs) return
  stage.samples.push({ atMs, completed: progress.completed })
  while (stage.samples.length > 2 && atMs - (stage.samples[1]?.atMs ?? atMs) > rateWindowMs)
    stage.samples.shift()
}

function isComplete({ completed, total, unit }: Progress): boolean {
  const end = total ?? (unit === 'percent' ? 100 : undefined)
  return end !== undefined && completed >= end
}

/** Per second, over the last few seconds; undefined while that can't be told. */
function recentRate({ samples }: Stage): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined || last.atMs - first.atMs < redrawMs) return undefined
  return ((last.completed - first.completed) / (last.atMs - first.atMs)) * 1000
}

function percentOf({ completed, total, unit }: Progress): string {
  const end = total ?? (unit === 'percent' ? 100 : undefined)
  if (end === undefined) return ''
  return `${String(end === 0 ? 100 : Math.floor(Math.min(1, completed / end) * 100)).padStart(3)} %`
}

function amountOf({ completed, total, unit }: Progress): string {
  if (unit === 'percent') return ''
  return total === undefined ? formatBytes(completed) : `${formatBytes(completed)} of ${formatBytes(total)}`
}

function picture(stage: Stage, short: boolean): string {
  const { latest } = stage
  const rate = recentRate(stage)
  const end = latest.total ?? (latest.unit === 'percent' ? 100 : undefined)
  const leftSeconds =
    rate !== undefined && rate > 0 && end !== undefined ? (end - latest.completed) / rate : undefined
  const left = leftSeconds === undefined ? '' : `${formatSeconds(leftSeconds)} left`
  const speed = rate === undefined || latest.unit === 'percent' ? '' : formatRate(rate)
  const parts = [latest.stage.padEnd(8), percentOf(latest), short ? '' : amountOf(latest), speed, left]
  return [...parts, resumesOf(latest)].filter((part) => part !== '').join('  ')
}

function summary(stage: Stage): string {
  const { latest } = stage
  const seconds = (stage.latestMs - stage.startedMs) / 1000
  const whole = isComplete(latest) || (latest.total === undefined && latest.unit === 'bytes')
  const amount = latest.unit === 'percent' ? percentOf(latest).trim() : formatBytes(latest.completed)
  const part = whole || latest.unit === 'percent' ? amount : amountOf(latest)
  const rate = latest.unit === 'bytes' && seconds >= 0.05 ? formatRate(latest.completed / seconds) : ''
  return [latest.stage.padEnd(8), part, formatSeconds(seconds), rate, resumesOf(latest)]
    .filter((text) => text !== '')
    .join('  ')
}

function resumesOf({ resumes }: Progress): string {
  if (resumes === undefined || resumes === 0) return ''
  return `continued ${resumes === 1 ? 'once' : `${resumes} times`}`
}
