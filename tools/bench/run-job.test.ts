import { expect, test } from 'vitest'
import { floor, ours, oursUnsynced, type Target } from './job.ts'
import { compare, judge, type Standing } from './run-job.ts'

const spread = (median: number): { median: number; min: number; max: number } => ({
  median,
  min: median,
  max: median,
})

function standing(name: string, seconds: number, memoryMiB = 100): Standing {
  return {
    name,
    description: name,
    runs: [],
    seconds: spread(seconds),
    callSeconds: spread(seconds / 2),
    cpuSeconds: spread(seconds),
    machineBusySeconds: spread(seconds),
    peakRssBytes: spread(memoryMiB * 1024 ** 2),
    storageWrittenBytes: spread(0),
    storageReadBytes: spread(0),
  }
}

const targets: Target[] = [{ against: floor, figure: 'wall', atMost: 0.75 }]

test('a target is met up to its limit', () => {
  const met = (seconds: number): boolean | undefined =>
    judge({ targets }, [standing(ours, seconds), standing(floor, 1)])[0]?.met
  expect([met(0.75), met(0.76)]).toEqual([true, false])
})

test('the original is compared inside the call, without anybody’s start', () => {
  const byCall: Target[] = [{ against: floor, figure: 'call', atMost: 0.5 }]
  const [judgement] = judge({ targets: byCall }, [
    standing(ours, 1),
    { ...standing(floor, 9), callSeconds: spread(1) },
  ])
  expect(judgement).toMatchObject({ what: 'call of ours / floor', value: 0.5, met: true })
})

test('a target may be for ours that does not wait for the disk', () => {
  const [judgement] = judge(
    { targets: [{ of: oursUnsynced, against: floor, figure: 'wall', atMost: 0.6 }] },
    [standing(ours, 0.9), standing(oursUnsynced, 0.5), standing(floor, 1)],
  )
  expect(judgement).toMatchObject({ what: 'wall of ours, unsynced / floor', value: 0.5, met: true })
})

test('memory has a limit of its own', () => {
  const [, memory] = judge({ targets }, [standing(ours, 0.1, 201), standing(floor, 1)])
  expect(memory).toMatchObject({ met: false, atMost: 200 })
})

test('without ours every target is missed, without the other side it is not judged', () => {
  expect(judge({ targets }, [standing(floor, 1)]).map(({ met }) => met)).toEqual([false, false])
  expect(judge({ targets }, [standing(ours, 1)])).toHaveLength(1)
})

test('a comparison is shown of who is there, and judges nobody', () => {
  const comparisons = [{ against: floor, figure: 'wall' as const }]
  expect(compare({ comparisons }, [standing(ours, 3), standing(floor, 2)])).toEqual([
    { what: 'wall of ours / floor', value: 1.5 },
  ])
  expect(compare({ comparisons }, [standing(ours, 3)])).toEqual([])
  expect(compare({ comparisons }, [standing(floor, 3)])).toEqual([])
})
