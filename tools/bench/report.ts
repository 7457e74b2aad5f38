import type { ComparedRatio, JobResult, Judgement, Standing } from './run-job.ts'
import type { Spread } from './statistics.ts'

const MiB = 1024 ** 2

function seconds({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`
}

function mebibytes({ median }: Spread): string {
  return (median / MiB).toFixed(0)
}

/** Columns as wide as their widest cell; numbers to the right. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function standingRow({ name, description, ...figures }: Standing): string[] {
  return [
    name,
    description,
    String(figures.runs.length),
    seconds(figures.seconds),
    seconds(figures.callSeconds),
    seconds(figures.cpuSeconds),
    mebibytes(figures.peakRssBytes),
    mebibytes(figures.storageWrittenBytes),
    mebibytes(figures.storageReadBytes),
  ]
}

/** One target as a line. */
export function describeJudgement({ what, value, atMost, met }: Judgement): string {
  return `  ${met ? 'met   ' : 'MISSED'}  ${what}: ${value.toFixed(2)} (at most ${atMost.toFixed(2)})`
}

function describeComparison({ what, value }: ComparedRatio): string {
  return `  -       ${what}: ${value.toFixed(2)} (for information)`
}

/** One job as text: who took how long, and which target was met. */
export function describeJob({ job, sizeGiB, standings, judgements, comparisons, absent }: JobResult): string {
  const header = [
    '',
    '',
    'runs',
    'whole process, s (min–max)',
    'inside the call',
    'CPU s (min–max)',
    'RSS MiB',
    'written MiB',
    'read MiB',
  ]
  return [
    `${job}, ${sizeGiB} GiB`,
    table([header, ...standings.map(standingRow)]).replace(/^/gm, '  '),
    ...Object.entries(absent).map(([name, reason]) => `  ${name} did not take part: ${reason}`),
    ...judgements.map(describeJudgement),
    ...comparisons.map(describeComparison),
  ].join('\n')
}
