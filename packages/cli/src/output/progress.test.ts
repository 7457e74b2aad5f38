import { expect, test } from 'vitest'
import type { Progress } from '@disk-image/core'
import { createProgressDisplay } from './progress.ts'

const MiB = 1024 * 1024

function play(
  terminal: boolean,
  reports: readonly (readonly [atMs: number, progress: Partial<Progress>])[],
): { text: string; lines: string[] } {
  const written: string[] = []
  let now = 0
  const display = createProgressDisplay(
    { write: (text) => written.push(text), isTTY: terminal, columns: 60 },
    () => now,
  )
  for (const [atMs, progress] of reports) {
    now = atMs
    display.report({ stage: 'download', unit: 'bytes', completed: 0, ...progress })
  }
  display.finish()
  const text = written.join('')
  return { text, lines: text.split('\n').filter((line) => line !== '') }
}

test('one line for each stage where there is no terminal', () => {
  const { lines, text } = play(false, [
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
  const { lines } = play(false, [
    [0, { total: 100 * MiB }],
    [1000, { completed: 40 * MiB, total: 100 * MiB, resumes: 2 }],
  ])
  expect(lines).toEqual(['download  40 MiB of 100 MiB  1.0 s  40 MiB/s  continued 2 times'])
})

test('a line is drawn anew on a terminal, with rate and time left, within its width', () => {
  const { text } = play(true, [
    [0, { total: 100 * MiB }],
    [1000, { completed: 20 * MiB, total: 100 * MiB }],
    [1010, { completed: 21 * MiB, total: 100 * MiB }],
    [2000, { completed: 100 * MiB, total: 100 * MiB }],
  ])
  expect(text).toContain('\rdownload   20 %  20 MiB of 100 MiB  20 MiB/s  4.0 s left\u001b[K')
  // Two reports within a tenth of a second are one picture.
  expect(text).not.toContain('21 %')
  expect(text.endsWith('\r\u001b[Kdownload  100 MiB  2.0 s  50 MiB/s\n')).toBe(true)
  for (const picture of text.split('\r')) expect(picture.split('\u001b')[0]?.length).toBeLessThan(60)
})

test('a stage that is through and begins again is told twice', () => {
  const { lines } = play(false, [
    [0, { total: MiB, completed: MiB }],
    [1000, { total: 2 * MiB, completed: 0 }],
    [2000, { total: 2 * MiB, completed: 2 * MiB }],
  ])
  expect(lines).toHaveLength(2)
})

test('nothing is divided by an empty image', () => {
  expect(play(false, [[0, { total: 0 }]]).lines).toEqual(['download  0 B  0.0 s'])
  expect(play(true, [[0, { total: 0 }]]).lines).toEqual(['download  0 B  0.0 s'])
})
