import { formatBytes, printable, printableJson, type Progress } from '@disk-image/core'
import type { TextStream } from '../io.ts'
import { jsonOfPicture, type ProgressDisplay, type ProgressMode } from './progress.ts'
import { formatRate, formatSeconds } from './units.ts'
import { WholeTransfer } from './whole-transfer.ts'

/** Milliseconds between two pictures. */
const redrawMs = 100
/** Milliseconds between two lines where there is no terminal. */
const lineEveryMs = 10_000
/** Milliseconds between two lines of JSON about one transfer. */
const jsonEveryMs = 500
/** Milliseconds over which rates are taken. */
const rateWindowMs = 3000

/** Shows how far many transfers are: on a terminal a line for each that runs, elsewhere how many are over. */
export interface ManyProgress extends ProgressDisplay {
  begin(id: number, label: string): void
  reportOn(id: number, progress: Progress): void
  /** One is over: `say` writes what stands for it from now on, above those that run. */
  end(id: number, say: () => void, how: 'done' | 'failed'): void
  /** One was cancelled: nothing is said of it. */
  drop(id: number): void
}

interface Row {
  readonly label: string
  latest: Progress | undefined
  readonly samples: { readonly atMs: number; readonly completed: number }[]
}

/** @param total how many transfers there are in all */
export function createManyProgress(
  stream: TextStream,
  total: number,
  mode: Exclude<ProgressMode, 'none'>,
  nowMs: () => number = () => performance.now(),
): ManyProgress {
  if (mode === 'json') return createManyJson(stream, nowMs)
  const live = mode === 'bar'
  const rows = new Map<number, Row>()
  const counts = { done: 0, failed: 0, cancelled: 0 }
  const startedMs = nowMs()
  /** Lines that stand on the terminal, as they were written. */
  let drawn: string[] = []
  let drawnAtMs = live ? -Infinity : startedMs

  const columns = (): number => {
    const known = stream.columns ?? 0
    return known > 0 ? known : 80
  }
  const clear = (): void => {
    if (drawn.length === 0) return
    // A terminal that became narrower has wrapped what stood there.
    const wrapped = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(textWidth(line) / columns())), 0)
    stream.write(`\r\u001b[${wrapped}A\u001b[J`)
    drawn = []
  }
  const picture = (): string[] => {
    // The last column stays free: some terminals wrap as soon as it is written.
    const width = Math.max(1, columns() - 1)
    const height = Math.max(1, (stream.rows ?? 24) - 2)
    const running = [...rows.values()]
    const shown = running.length <= height ? running : running.slice(0, height - 1)
    const labelWidth = Math.min(
      Math.max(8, Math.floor(width / 3)),
      Math.max(0, ...shown.map(({ label }) => textWidth(label))),
    )
    const lines = shown.map((row) => rowText(row, labelWidth))
    if (shown.length < running.length) lines.push(`… and ${running.length - shown.length} more`)
    lines.push(totalText())
    return lines.map((line) => fitStart(line, width))
  }
  const totalText = (): string => {
    const { done, failed, cancelled } = counts
    const over = done + failed + cancelled
    const parts = [`${over} of ${total}`]
    if (failed > 0) parts.push(`${failed} failed`)
    const rates = [...rows.values()].map(rateOf).filter((rate) => rate !== undefined)
    if (rates.length > 0) parts.push(formatRate(rates.reduce((sum, rate) => sum + rate, 0)))
    parts.push(formatSeconds((nowMs() - startedMs) / 1000))
    return parts.join('  ')
  }
  const draw = (): void => {
    const lines = picture()
    clear()
    stream.write(`${lines.join('\u001b[K\n')}\u001b[K\n`)
    drawn = lines
    drawnAtMs = nowMs()
  }
  const drawSoon = (): void => {
    if (live && nowMs() - drawnAtMs >= redrawMs) draw()
  }
  return {
    begin: (id, label) => {
      rows.set(id, { label: printable(label), latest: undefined, samples: [] })
      drawSoon()
    },
    reportOn: (id, progress) => {
      const row = rows.get(id)
      if (row === undefined) return
      note(row, progress, nowMs())
      drawSoon()
    },
    end: (id, say, how) => {
      rows.delete(id)
      counts[how] += 1
      clear()
      say()
      if (live && rows.size > 0) draw()
      if (live || nowMs() - drawnAtMs < lineEveryMs) return
      stream.write(`${totalText()}\n`)
      drawnAtMs = nowMs()
    },
    drop: (id) => {
      counts.cancelled += 1
      if (rows.delete(id)) drawSoon()
    },
    report: () => undefined,
    clear,
    finish: clear,
  }
}

/** A JSON object on each line: which transfer, and how far it is as one whole. */
function createManyJson(stream: TextStream, nowMs: () => number): ManyProgress {
  const running = new Map<number, { label: string; whole: WholeTransfer; writtenAtMs: number }>()
  const nothing = (): void => undefined
  return {
    begin: (id, label) => running.set(id, { label, whole: new WholeTransfer(), writtenAtMs: -Infinity }),
    reportOn: (line, progress) => {
      const one = running.get(line)
      one?.whole.note(progress, nowMs())
      const picture = one?.whole.picture()
      if (one === undefined || picture === undefined || nowMs() - one.writtenAtMs < jsonEveryMs) return
      one.writtenAtMs = nowMs()
      stream.write(`${printableJson({ line, volume: one.label, ...jsonOfPicture(picture) })}\n`)
    },
    end: (id, say) => {
      running.delete(id)
      say()
    },
    drop: (id) => running.delete(id),
    report: nothing,
    clear: nothing,
    finish: nothing,
  }
}

function note(row: Row, progress: Progress, atMs: number): void {
  // Another stage counts from its own start.
  if (row.latest?.stage !== progress.stage) row.samples.length = 0
  row.latest = progress
  const last = row.samples.at(-1)
  if (progress.unit !== 'bytes' || (last !== undefined && atMs - last.atMs < redrawMs)) return
  row.samples.push({ atMs, completed: progress.completed })
  while (row.samples.length > 2 && atMs - (row.samples[1]?.atMs ?? atMs) > rateWindowMs) row.samples.shift()
}

function rateOf({ samples }: Row): number | undefined {
  const [first, last] = [samples[0], samples.at(-1)]
  if (first === undefined || last === undefined || last.atMs - first.atMs < redrawMs) return undefined
  return ((last.completed - first.completed) / (last.atMs - first.atMs)) * 1000
}

function rowText(row: Row, labelWidth: number): string {
  const label = fitEnd(row.label, labelWidth)
  const padded = label + ' '.repeat(Math.max(0, labelWidth - textWidth(label)))
  const { latest } = row
  if (latest === undefined) return `${padded}  begins`
  const end = latest.total ?? (latest.unit === 'percent' ? 100 : undefined)
  const share = end === undefined ? undefined : end === 0 ? 1 : Math.min(1, latest.completed / end)
  const rate = rateOf(row)
  const leftSeconds =
    rate !== undefined && rate > 0 && end !== undefined ? (end - latest.completed) / rate : undefined
  return [
    padded,
    share === undefined ? '' : `${String(Math.floor(share * 100)).padStart(3)} %`,
    latest.stage.padEnd(8),
    latest.unit === 'bytes' ? formatBytes(latest.completed) : '',
    rate === undefined ? '' : formatRate(rate),
    leftSeconds === undefined ? '' : `${formatSeconds(leftSeconds)} left`,
  ]
    .filter((part) => part !== '')
    .join('  ')
}

const invisible = /[\p{Mn}\p{Me}\p{Cf}]/u
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u

function widthOf(character: string): number {
  if (character < '\u0300') return 1
  return invisible.test(character) ? 0 : wide.test(character) ? 2 : 1
}

/** Columns that a text takes on a terminal. */
export function textWidth(text: string): number {
  let width = 0
  for (const character of text) width += widthOf(character)
  return width
}

/** As much of the text's start as fits into so many columns. */
export function fitStart(text: string, columns: number): string {
  let width = 0
  let end = 0
  for (const character of text) {
    width += widthOf(character)
    if (width > columns) return text.slice(0, end)
    end += character.length
  }
  return text
}

/** As much of the text's end as fits, behind an ellipsis where not all does: the end of a path says more. */
export function fitEnd(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text
  const characters = Array.from(text)
  let width = 1
  let start = characters.length
  while (start > 0 && width + widthOf(characters[start - 1] ?? '') <= columns) {
    start -= 1
    width += widthOf(characters[start] ?? '')
  }
  return columns < 1 ? '' : `…${characters.slice(start).join('')}`
}
