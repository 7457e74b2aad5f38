import type { Progress, ProgressStage } from '@disk-image/core'
import { expect, test } from 'vitest'
import { CallProgress } from './call-progress.ts'

function open(): {
  readonly progress: CallProgress
  readonly heard: Progress[]
  readonly report: (stage: ProgressStage, completed: number, total?: number, afterMs?: number) => void
} {
  const heard: Progress[] = []
  let nowMs = 1000
  const clock = { monotonicMs: () => nowMs, wallMs: () => 0 }
  const progress = new CallProgress((one) => heard.push(one), clock)
  return {
    progress,
    heard,
    report: (stage, completed, total, afterMs = 100) => {
      nowMs += afterMs
      progress.report({ stage, completed, total, unit: 'bytes' })
    },
  }
}

test('a download and a conversion are halves of one whole, which never falls', () => {
  const { progress, heard, report } = open()
  progress.expect('disk', 2)
  progress.enter('download')
  report('download', 0, 100)
  report('download', 50, 100)
  report('download', 100, 100)
  progress.enter('convert')
  report('inspect', 10, 100)
  report('write', 0, 400)
  report('write', 200, 400)
  report('write', 400, 400)
  progress.end()
  expect(heard.map(({ fraction }) => fraction)).toEqual([0, 0.25, 0.5, 0.5, 0.5, 0.75, 1])
})

test('what is decoded while it downloads is the same pass', () => {
  const { progress, heard, report } = open()
  progress.expect('disk', 1)
  progress.enter('download')
  report('convert', 900, 1000)
  report('download', 10, 100)
  report('convert', 950, 1000)
  report('download', 40, 100)
  expect(heard.map(({ fraction }) => fraction)).toEqual([0, 0.1, 0.1, 0.4])
})

test('where the end of a download is not known, what knows its end is measured', () => {
  const { progress, heard, report } = open()
  progress.expect('disk', 1)
  progress.enter('download')
  report('download', 10)
  report('convert', 200, 1000)
  report('download', 60)
  report('convert', 800, 1000)
  progress.end()
  expect(heard.map(({ fraction }) => fraction)).toEqual([0, 0.2, 0.2, 0.8, 1])
})

test('what is learnt late of the passes moves nothing back', () => {
  const { progress, heard, report } = open()
  progress.enter('download')
  progress.expect('disk', 1)
  report('download', 80, 100)
  progress.expect('disk', 2)
  report('download', 90, 100)
  report('download', 100, 100)
  expect(heard.map(({ fraction }) => fraction)).toEqual([0.8, 0.8, 0.8])
})

test('without a known number of passes there is no fraction', () => {
  const { heard, report } = open()
  report('download', 80, 100)
  expect(heard).toEqual([
    {
      stage: 'download',
      completed: 80,
      total: 100,
      unit: 'bytes',
      fraction: undefined,
      bytesPerSecond: undefined,
    },
  ])
})

test('ten reports a second are handed on at most, each stage in its turn, and the last at the end', () => {
  const { progress, heard, report } = open()
  progress.expect('disk', 1)
  for (let at = 1; at <= 1000; at++) report(at % 2 === 0 ? 'upload' : 'convert', at, 1000, 1)
  expect(heard).toHaveLength(10)
  expect(heard.map(({ stage }) => stage)).toEqual(
    Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? 'convert' : 'upload')),
  )
  progress.end()
  expect(heard.slice(10)).toMatchObject([
    { stage: 'convert', completed: 999 },
    { stage: 'upload', completed: 1000, fraction: 1 },
  ])
})

test('the rate is that of the last three seconds', () => {
  const { progress, heard, report } = open()
  progress.expect('disk', 1)
  progress.enter('download')
  for (let second = 0; second < 10; second++) report('download', second * 1000, 100_000, 1000)
  for (let second = 1; second <= 4; second++) report('download', 9000 + second * 50, 100_000, 1000)
  expect(heard[9]?.bytesPerSecond).toBe(1000)
  expect(heard.at(-1)?.bytesPerSecond).toBe(50)
})

test('what was told before the passes were known is told once more, as the whole', () => {
  const { progress, heard, report } = open()
  report('download', 100, 100)
  progress.expect('disk', 1)
  progress.end()
  expect(heard.map(({ completed, fraction }) => [completed, fraction])).toEqual([
    [100, undefined],
    [100, 1],
  ])
})
