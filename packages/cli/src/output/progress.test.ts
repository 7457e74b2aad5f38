import { expect, test } from 'vitest'
import type { Progress } from '@disk-image/core'
import { barOf, chooseProgress, createProgressDisplay, type ProgressMode } from './progress.ts'

const MiB = 1024 * 1024

function play(
  mode: ProgressMode,
  reports: readonly (readonly [atMs: number, progress: Partial<Progress>])[],
  how?: 'done',
): { text: string; lines: string[] } {
  const written: string[] = []
  let now = 0
  const stderr = { write: (text: string) => written.push(text), columns: 100 }
  const display = createProgressDisplay(mode, { stderr, environment: {} }, () => now)
  for (const [atMs, progress] of reports) {
    now = atMs
    display.report({ stage: 'download', unit: 'bytes', completed: 0, ...progress })
  }
  display.finish(how)
  const text = written.join('')
  return { text, lines: text.split('\n').filter((line) => line !== '') }
}

test('one line for each stage where there is no terminal', () => {
  const { lines, text } = play('line', [
    [0, { total: 100 * MiB }],
    [500, { completed: 40 * MiB, total: 100 * MiB }],
    [2000, { completed: 100 * MiB, total: 100 * MiB }],
    [2000, { completed: 100 * MiB, total: 100 * MiB }],
    [2100, { stage: 'convert', unit: 'percent', completed: 1 }],
    [4100, { stage: 'convert', unit: 'percent', completed: 100 }],
  ])
  expect(lines).toEqual(['download  100 MiB  2.0 s  50 MiB/s', 'convert   100 %  2.0 s'])
  expect(text).not.toContain('\r')
})

test('what broke off says how far it came', () => {
  const { lines } = play('line', [
    [0, { total: 100 * MiB }],
    [1000, { completed: 40 * MiB, total: 100 * MiB, resumes: 2 }],
  ])
  expect(lines).toEqual(['download  40 MiB of 100 MiB  1.0 s  40 MiB/s  continued 2 times'])
})

test('a bar is drawn anew on a terminal, and goes when all is done', () => {
  const reports = [
    [0, { total: 100 * MiB }],
    [1000, { completed: 20 * MiB, total: 100 * MiB }],
    [1010, { completed: 21 * MiB, total: 100 * MiB }],
    [2000, { completed: 100 * MiB, total: 100 * MiB }],
  ] as const
  const { text } = play('bar', reports, 'done')
  expect(text).toMatch(/ {2}#+\.+ {3}20 % {2}20 MiB of 100 MiB {2}20 MiB\/s {2}4\.0 s left/)
  // Two reports within a tenth of a second are one picture.
  expect(text).not.toContain('21 %')
  expect(text.endsWith('\r\u001b[J')).toBe(true)
  for (const picture of text.split('\r')) expect(picture.split('\u001b')[0]?.length).toBeLessThan(100)
  // What broke off says how far it came.
  expect(play('bar', reports.slice(0, 2)).text).toMatch(/ 20 % .*\n$/)
})

test('a bar fits every width, and the percent stay the longest', () => {
  const picture = {
    stage: 'download',
    bytes: 420 * MiB,
    total: 1000 * MiB,
    fraction: 0.42,
    bytesPerSecond: 20 * MiB,
    secondsLeft: 29,
    resumes: 2,
  }
  for (let columns = 0; columns < 140; columns += 1) {
    expect(barOf(picture, columns, ['█', '░']).length).toBeLessThanOrEqual(columns)
    expect(barOf(picture, columns + 4, ['█', '░'])).toContain('42 %')
  }
  expect(barOf(picture, 60, ['█', '░'])).toBe(
    `download  ${'█'.repeat(8)}${'░'.repeat(12)}   42 %  20 MiB/s  29.0 s left`,
  )
  expect(barOf(picture, 24, ['█', '░'])).toBe('███████░░░░░░░░░░   42 %')
})

test('a window of another size is drawn anew, without what it had wrapped', () => {
  const written: string[] = []
  let resize = (): void => undefined
  const stderr = {
    write: (text: string) => written.push(text),
    isTTY: true,
    columns: 100,
    on: (_: 'resize', listener: () => void) => (resize = listener),
    off: () => (resize = () => undefined),
  }
  const display = createProgressDisplay('bar', { stderr, environment: { LANG: 'C.UTF-8' } }, () => 0)
  display.report({ stage: 'download', unit: 'bytes', completed: MiB, total: 2 * MiB })
  expect(written.at(-1)).toContain('░')
  stderr.columns = 30
  resize()
  expect(written.at(-2)).toBe('\r\u001b[2A\u001b[J')
  expect(written.at(-1)?.length).toBeLessThan(34)
})

test('as JSON the stages are one transfer, which never goes back', () => {
  const { lines } = play(
    'json',
    [
      [0, { total: 100 * MiB, fraction: 0 }],
      [1000, { completed: 50 * MiB, total: 100 * MiB, fraction: 0.25, bytesPerSecond: 50 * MiB }],
      [2000, { completed: 100 * MiB, total: 100 * MiB, fraction: 0.5 }],
      [2100, { stage: 'convert', unit: 'percent', completed: 1, fraction: 0.505 }],
      [4000, { stage: 'convert', unit: 'percent', completed: 100, fraction: 1 }],
    ],
    'done',
  )
  const told = lines.map((line) => JSON.parse(line) as { bytes: number; fraction: number; stage: string })
  expect(told[1]).toEqual({
    stage: 'download',
    bytes: 25 * MiB,
    total: 100 * MiB,
    fraction: 0.25,
    rate: 50 * MiB,
    secondsLeft: 3,
    resumes: 0,
  })
  expect(told.map(({ stage }) => stage)).toEqual([
    'download',
    'download',
    'download',
    'convert',
    'convert',
    'done',
  ])
  expect(told.map(({ bytes }) => bytes)).toEqual(told.map(({ bytes }) => bytes).toSorted((a, b) => a - b))
  expect(told.at(-1)).toMatchObject({ bytes: 100 * MiB, fraction: 1, secondsLeft: 0 })
})

test.each([
  [{}, true, 'bar'],
  [{}, false, 'line'],
  [{ json: true }, true, 'bar'],
  [{ json: true }, false, 'none'],
  [{ quiet: true }, true, 'none'],
  [{ quiet: true, progress: 'json' }, false, 'json'],
  [{ progress: 'bar' }, false, 'line'],
  [{ progress: 'none' }, true, 'none'],
] as const)('%j, at a terminal %j: %s', (flags, isTTY, mode) => {
  const stderr = { write: () => undefined, isTTY }
  expect(chooseProgress(flags, { stderr, environment: {} })).toBe(mode)
  expect(chooseProgress({}, { stderr, environment: { TERM: 'dumb' } })).toBe('line')
})

test('a stage that is through and begins again is told twice', () => {
  const { lines } = play('line', [
    [0, { total: MiB, completed: MiB }],
    [1000, { total: 2 * MiB, completed: 0 }],
    [2000, { total: 2 * MiB, completed: 2 * MiB }],
  ])
  expect(lines).toHaveLength(2)
})

test('nothing is divided by an empty image', () => {
  expect(play('line', [[0, { total: 0 }]]).lines).toEqual(['download  0 B  0.0 s'])
  expect(play('bar', [[0, { total: 0 }]]).text).toContain('100 %')
})
