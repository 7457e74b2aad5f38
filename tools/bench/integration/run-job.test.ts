import { requireTool } from '@disk-image/testing'
import { expect, test } from 'vitest'
import { judge, ours, runJob, script, spreadOf, type Job, type Run, type Subject } from '../run-job.ts'

requireTool('python3')

const nothing = async (): Promise<void> => {}
const job = (subjects: readonly Subject[], check = nothing): Job => ({
  name: 'job',
  sizeGiB: 1,
  targets: [{ against: script, figure: 'wall', atMost: 0.75 }],
  subjects,
  before: nothing,
  check,
})
const run = (wall: number, rssBytes = 1): Run => ({ wall, call: wall / 2, cpu: wall, rssBytes })
const yes = (name: string): Subject => ({ name, command: () => ['true'] })

test('the median of an odd and an even number of values', () => {
  expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 })
  expect(spreadOf([4, 1, 2, 10])).toEqual({ median: 3, min: 1, max: 10 })
})

test('a target is met up to its limit, memory has a limit of its own, without ours all is missed', () => {
  const met = (runs: readonly [string, Run[]][]): (boolean | undefined)[] =>
    judge(job([]), new Map(runs)).map((judgement) => judgement.met)
  expect(
    met([
      [ours, [run(0.75)]],
      [script, [run(1)]],
    ]),
  ).toEqual([true, true])
  expect(
    met([
      [ours, [run(0.76, 201 * 1024 ** 2)]],
      [script, [run(1)]],
    ]),
  ).toEqual([false, false])
  expect(met([[script, [run(1)]]])).toEqual([false, false])
  expect(met([[ours, [run(1)]]])).toEqual([true])
  const shown = judge(
    { targets: [{ against: 'other', figure: 'call' }] },
    new Map([
      [ours, [run(3)]],
      ['other', [run(2)]],
    ]),
  )
  expect(shown[0]).toMatchObject({ ratio: 1.5, met: undefined })
})

test('measures time and memory of a whole process tree', async () => {
  const program = 'import time; held = b"x" * 60_000_000; time.sleep(0.3)'
  const subject = { name: ours, command: () => ['bash', '-c', `python3 -c '${program}'; true`] }
  const [measured] = (await runJob(job([subject]), 1, false)).runs.get(ours) ?? []
  expect(measured?.wall).toBeGreaterThan(0.3)
  expect(measured?.cpu).toBeGreaterThan(0)
  expect(measured?.rssBytes).toBeGreaterThan(60e6)
})

test('subjects take turns, the first run of each warms up, who is slow takes part less often', async () => {
  const seen: string[] = []
  const noted = (name: string, more: Partial<Subject> = {}): Subject => ({
    name,
    command: () => {
      seen.push(name)
      return ['true']
    },
    ...more,
  })
  const subjects = [noted('a'), noted('b', { mostRuns: 1 }), noted('c', { absent: 'not installed' })]
  const { runs, absent } = await runJob(job(subjects), 2, true)
  expect(seen.join('')).toBe('ababa')
  expect([...runs].map(([name, list]) => [name, list.length])).toEqual([
    ['a', 2],
    ['b', 1],
  ])
  expect(Object.fromEntries(absent)).toEqual({ c: 'not installed' })
})

test('who brings a wrong result is out, even after a right one; who brings nothing has none to compare', async () => {
  let checks = 0
  const check = async (): Promise<void> => {
    checks += 1
    if (checks === 4) throw new Error('not the same bytes')
  }
  const subjects = [yes(ours), yes(script), { ...yes('none'), bringsNothing: true }]
  const { runs, absent, judgements } = await runJob(job(subjects, check), 2, false)
  expect(Object.fromEntries(absent)).toEqual({ [ours]: 'failed in round 2: not the same bytes' })
  expect([...runs.keys()]).toEqual([script, 'none'])
  expect(judgements.every(({ met }) => met === false)).toBe(true)
})

test('a command that fails is out with what it said', async () => {
  const subject = { name: ours, command: () => ['sh', '-c', 'echo broken >&2; exit 3'] }
  const { absent } = await runJob(job([subject]), 1, true)
  expect(absent.get(ours)).toContain('ended with 3:\nbroken')
})
