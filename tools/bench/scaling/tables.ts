import type { Spread } from '../statistics.ts'
import type { Limit } from './limits.ts'

const MiB = 1024 ** 2

/** What one row of a table showed. */
export interface ScalingResult {
  readonly section: string
  readonly what: string
  readonly runs: number
  readonly seconds: Spread
  readonly cpuSeconds: number
  readonly peakRssBytes: number
  readonly wireBytes: number
  readonly dataBytes: number
  /** Connections that were continued. */
  readonly resumes: number
  readonly limit: Limit
  /** Seconds of `curl` over the same link, where that was measured. */
  readonly floorSeconds?: number | undefined
}

const [start, end] = ['<!-- scaling:start -->', '<!-- scaling:end -->'] as const

function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function range({ min, max }: Spread): string {
  return `${figure(min)}–${figure(max)}`
}

/** Columns as wide as their widest cell, numbers to the right: as the formatter leaves them. */
function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const left = new Set([0, header.length - 1])
  const widths = header.map((_, column) =>
    Math.max(3, ...[header, ...rows].map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells
      .map((cell, column) =>
        left.has(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join(' | ')} |`
  const rule = widths.map((width, column) =>
    left.has(column) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  return [line(header), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}

function rowOf(
  result: ScalingResult,
  columns: { readonly floor: boolean; readonly resumes: boolean },
): string[] {
  const { what, seconds, cpuSeconds, peakRssBytes, wireBytes, limit, floorSeconds } = result
  return [
    what,
    figure(seconds.median),
    range(seconds),
    figure(wireBytes / 1e6 / seconds.median),
    figure(cpuSeconds),
    figure(peakRssBytes / MiB),
    ...(columns.resumes ? [String(result.resumes)] : []),
    ...(columns.floor ? [floorSeconds === undefined ? '' : figure(floorSeconds)] : []),
    `${limit.name}, ${figure(limit.seconds)} s`,
  ]
}

/** All results as markdown, a table for each section. */
export function describeScaling(results: readonly ScalingResult[], preface: readonly string[]): string {
  const sections = new Map<string, ScalingResult[]>()
  for (const result of results)
    sections.set(result.section, [...(sections.get(result.section) ?? []), result])
  const parts = [...sections].map(([section, rows]) => {
    const columns = {
      floor: rows.some(({ floorSeconds }) => floorSeconds !== undefined),
      resumes: rows.some(({ resumes }) => resumes > 0),
    }
    const header = [
      section,
      'seconds',
      'min–max',
      'MB/s',
      'CPU s',
      'RSS MiB',
      ...(columns.resumes ? ['continued'] : []),
      ...(columns.floor ? ['curl s'] : []),
      'nearest limit',
    ]
    return markdownTable(
      header,
      rows.map((row) => rowOf(row, columns)),
    )
  })
  return [...preface, ...parts].join('\n\n')
}

/** Puts the tables between the markers of a page. @throws where it has none */
export function insertTables(page: string, tables: string): string {
  const [from, to] = [page.indexOf(start), page.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`the page has no ${start} before ${end}`)
  return `${page.slice(0, from + start.length)}\n\n${tables}\n\n${page.slice(to)}`
}
