import { formatBytes, printableJson, type Progress, type ProgressStage } from '@disk-image/core'
import type { Io, TextStream } from '../io.ts'
import { formatRate, formatSeconds } from './units.ts'
import { type WholePicture, WholeTransfer } from './whole-transfer.ts'

/** Milliseconds between two pictures. */
const redrawMs = 100
/** Milliseconds between two lines of JSON. */
const jsonEveryMs = 500

/** Shows how far an operation is. */
export interface ProgressDisplay {
  report(progress: Progress): void
  /** Takes a picture that stands on the terminal away, so that a line can be written. */
  clear(): void
  /** The last word: how far it came, where it did not end well. */
  finish(how?: 'done'): void
}

interface Stage {
  readonly startedMs: number
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

/** What `--progress` says. */
export type ProgressMode = 'json' | 'line' | 'bar' | 'none'

/** A bar on a terminal, a line for each stage anywhere else; nothing where nothing is to be said. */
export function chooseProgress(
  flags: { readonly progress?: ProgressMode; readonly quiet?: boolean; readonly json?: boolean },
  { stderr, environment }: Pick<Io, 'stderr' | 'environment'>,
): ProgressMode {
  const isTerminal = stderr.isTTY === true && environment['TERM'] !== 'dumb'
  const isSilent = flags.quiet === true || (flags.json === true && stderr.isTTY !== true)
  const mode = flags.progress ?? (isSilent ? 'none' : 'bar')
  return mode === 'bar' && !isTerminal ? 'line' : mode
}

/** A display of one transfer. */
export function createProgressDisplay(
  mode: ProgressMode,
  { stderr, environment }: Pick<Io, 'stderr' | 'environment'>,
  nowMs: () => number = () => performance.now(),
): ProgressDisplay {
  if (mode === 'none') return silentProgress
  if (mode === 'line') return createLines(stderr, nowMs)
  return mode === 'json' ? createJsonLines(stderr, nowMs) : createBar(stderr, environment, nowMs)
}

/** One line for each stage, once it is through. */
function createLines(stream: TextStream, nowMs: () => number): ProgressDisplay {
  const stages = new Map<ProgressStage, Stage>()
  const announce = (stage: Stage): void => {
    if (stage.announced) return
    stage.announced = true
    stream.write(`${summary(stage)}\n`)
  }
  return {
    report: (progress) => {
      const atMs = nowMs()
      const known = stages.get(progress.stage)
      // What was through and moves again is another run of the same stage.
      const goesOn = known !== undefined && (!known.announced || isComplete(progress))
      const stage = goesOn ? known : { startedMs: atMs, latest: progress, latestMs: atMs, announced: false }
      stages.set(progress.stage, stage)
      stage.latest = progress
      stage.latestMs = atMs
      if (isComplete(progress)) announce(stage)
    },
    clear: () => undefined,
    finish: () => {
      for (const stage of stages.values()) announce(stage)
    },
  }
}

/** What a line of `--progress json` says of a transfer. */
export function jsonOfPicture({ bytesPerSecond, resumes, ...picture }: WholePicture): object {
  const { stage, bytes = null, total = null, fraction = null, secondsLeft = null } = picture
  return { stage, bytes, total, fraction, rate: bytesPerSecond ?? null, secondsLeft, resumes }
}

/** A JSON object on each line, twice a second, and one at the end. */
function createJsonLines(stream: TextStream, nowMs: () => number): ProgressDisplay {
  let whole = new WholeTransfer()
  let writtenAtMs = -Infinity
  let stage: string | undefined
  const write = (done: boolean): void => {
    const picture = whole.picture()
    if (picture === undefined) return
    const { total, bytes } = picture
    const end = { bytes: total ?? bytes, fraction: 1, secondsLeft: 0, stage: 'done' }
    stream.write(`${printableJson(jsonOfPicture(done ? { ...picture, ...end } : picture))}\n`)
    writtenAtMs = nowMs()
    stage = picture.stage
  }
  return {
    report: (progress) => {
      whole.note(progress, nowMs())
      if (whole.picture()?.stage !== stage || nowMs() - writtenAtMs >= jsonEveryMs) write(false)
    },
    clear: () => undefined,
    finish: (how) => {
      write(how === 'done')
      whole = new WholeTransfer()
    },
  }
}

/** A bar that is drawn anew, also when the window changes. What broke off leaves its last picture. */
function createBar(stream: TextStream, environment: Io['environment'], nowMs: () => number): ProgressDisplay {
  let whole = new WholeTransfer()
  let drawn = ''
  let drawnAtMs = -Infinity
  const letters = barLetters(environment)
  const columns = (): number => ((stream.columns ?? 0) > 0 ? (stream.columns ?? 0) : 80)
  const clear = (): void => {
    if (drawn === '') return
    // A terminal that became narrower has wrapped what stood there.
    const above = Math.ceil(drawn.length / columns()) - 1
    stream.write(above > 0 ? `\r\u001b[${above}A\u001b[J` : '\r\u001b[J')
    drawn = ''
  }
  const draw = (): void => {
    const picture = whole.picture()
    if (picture === undefined) return
    // The last column stays free: some terminals wrap as soon as it is written.
    const line = barOf(picture, columns() - 1, letters)
    if (drawn.length > columns()) clear()
    stream.write(`\r${line}\u001b[K`)
    drawn = line
    drawnAtMs = nowMs()
  }
  const onResize = (): void => {
    if (drawn === '') return
    clear()
    draw()
  }
  stream.on?.('resize', onResize)
  return {
    report: (progress) => {
      whole.note(progress, nowMs())
      if (nowMs() - drawnAtMs >= redrawMs) draw()
    },
    clear,
    finish: (how) => {
      stream.off?.('resize', onResize)
      if (how !== 'done' && drawn !== '') {
        draw()
        stream.write('\n')
        drawn = ''
      } else clear()
      whole = new WholeTransfer()
    },
  }
}

/** Blocks where the terminal's characters have them. */
function barLetters({ LC_ALL: all, LC_CTYPE: type, LANG: language }: Io['environment']): [string, string] {
  const locale = [all, type, language].find((text) => (text ?? '') !== '') ?? ''
  return /utf-?8/i.test(locale) ? ['█', '░'] : ['#', '.']
}

const widestBar = 40
const smallestBar = 8

/** One line of at most so many columns: what says least is left out first. */
export function barOf(picture: WholePicture, columns: number, [full, empty]: [string, string]): string {
  const { stage, bytes, total, fraction, bytesPerSecond, secondsLeft, resumes } = picture
  const amount =
    bytes === undefined
      ? ''
      : total === undefined
        ? formatBytes(bytes)
        : `${formatBytes(bytes)} of ${formatBytes(total)}`
  const texts = {
    stage: stage.padEnd(8),
    percent: fraction === undefined ? '' : `${String(Math.floor(fraction * 100)).padStart(3)} %`,
    amount,
    rate: bytesPerSecond === undefined ? '' : formatRate(bytesPerSecond),
    left: secondsLeft === undefined ? '' : `${formatSeconds(secondsLeft)} left`,
    resumes: continued(resumes),
  }
  const order = ['resumes', 'amount', 'rate', 'stage', 'left'] as const
  const hasBar = fraction !== undefined
  for (let without = 0; without <= order.length; without += 1) {
    const left = new Set<string>(order.slice(0, without))
    const shown = Object.entries(texts).filter(([name, text]) => text !== '' && !left.has(name))
    const width = shown.reduce((sum, [, text]) => sum + text.length + 2, -2)
    const room = Math.min(widestBar, columns - width - 2)
    if (hasBar ? room < smallestBar : width > columns) continue
    const words = shown.map(([, text]) => text)
    if (!hasBar) return words.join('  ')
    const filled = Math.floor(room * fraction)
    words.splice(shown[0]?.[0] === 'stage' ? 1 : 0, 0, full.repeat(filled) + empty.repeat(room - filled))
    return words.join('  ')
  }
  return (texts.percent.trim() || texts.stage).slice(0, Math.max(0, columns))
}

function isComplete({ completed, total, unit }: Progress): boolean {
  const end = total ?? (unit === 'percent' ? 100 : undefined)
  return end !== undefined && completed >= end
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

function summary(stage: Stage): string {
  const { latest } = stage
  const seconds = (stage.latestMs - stage.startedMs) / 1000
  const whole = isComplete(latest) || (latest.total === undefined && latest.unit === 'bytes')
  const amount = latest.unit === 'percent' ? percentOf(latest).trim() : formatBytes(latest.completed)
  const part = whole || latest.unit === 'percent' ? amount : amountOf(latest)
  const rate = latest.unit === 'bytes' && seconds >= 0.05 ? formatRate(latest.completed / seconds) : ''
  return [latest.stage.padEnd(8), part, formatSeconds(seconds), rate, continued(latest.resumes ?? 0)]
    .filter((text) => text !== '')
    .join('  ')
}

function continued(resumes: number): string {
  if (resumes === 0) return ''
  return `continued ${resumes === 1 ? 'once' : `${resumes} times`}`
}
