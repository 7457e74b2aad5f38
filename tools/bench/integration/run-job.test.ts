import { requireTool } from '@disk-image/testing'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { download, type Contestant, floor, ours, type Job, type Target } from '../job.ts'
import { measure } from '../measure.ts'
import { runJob } from '../run-job.ts'

requireTool('python3')

const nothing = async (): Promise<void> => {}
const targets: Target[] = [{ against: floor, figure: 'wall', atMost: 0.75 }]

const jobOf = (contestants: readonly Contestant[], check = nothing): Job => ({
  name: 'job',
  sizeGiB: 1,
  targets,
  contestants,
  before: nothing,
  check,
  close: nothing,
})

test('measures time, memory and bytes of a whole process tree', async () => {
  const script = 'import time; held = b"x" * 60_000_000; time.sleep(0.3)'
  const command = (): string[] => ['bash', '-c', `python3 -c '${script}'; true`]
  const contestants = [{ name: ours, description: 'bash', command }]
  const job = jobOf(contestants)
  const { standings } = await runJob(job, 1, {}, true, () => {})
  expect(standings[0]?.seconds.median).toBeGreaterThan(0.3)
  expect(standings[0]?.cpuSeconds.median).toBeGreaterThan(0)
  expect(standings[0]?.peakRssBytes.median).toBeGreaterThan(60e6)
})

test('sees the processor time of others, which a server spends on the same machine', async () => {
  const server = execa('python3', ['-c', 'while True: pass'], { reject: false, cleanup: true })
  try {
    const { cpuSeconds, machineBusySeconds } = await measure(['sleep', '0.6'])
    expect(cpuSeconds).toBeLessThan(0.3)
    expect(machineBusySeconds).toBeGreaterThan(0.3)
  } finally {
    server.kill('SIGKILL')
    await server
  }
})

test('who brings a wrong result is out, even after a right one', async () => {
  let checks = 0
  // Two first runs that don't count, then ours, the floor, the floor, ours.
  const job = jobOf(
    [
      { name: ours, description: 'true', command: () => ['true'] },
      { name: floor, description: 'true', command: () => ['true'] },
    ],
    async () => {
      checks += 1
      if (checks === 6) throw new Error('not the same bytes')
    },
  )
  const result = await runJob(job, 2, {}, true, () => {})
  expect(result.absent).toEqual({ [ours]: 'failed in round 2: not the same bytes' })
  expect(result.standings.map(({ name, runs }) => [name, runs.length])).toEqual([[floor, 2]])
  expect(result.judgements.every(({ met }) => !met)).toBe(true)
})

test('of who brings nothing there is no result to compare', async () => {
  const job = jobOf(
    [
      { name: ours, description: 'true', command: () => ['true'] },
      { name: download, description: 'true', command: () => ['true'], bringsNothing: true },
    ],
    async () => {
      throw new Error('not the same bytes')
    },
  )
  const { absent, standings } = await runJob(job, 1, {}, false, () => {})
  expect(Object.keys(absent)).toEqual([ours])
  expect(standings.map(({ name }) => name)).toEqual([download])
})

test('a command that fails is out with what it said', async () => {
  const command = (): string[] => ['sh', '-c', 'echo broken >&2; exit 3']
  const contestants = [{ name: ours, description: 'sh', command }]
  const job = jobOf(contestants)
  const { absent } = await runJob(job, 1, {}, true, () => {})
  expect(absent[ours]).toContain('ended with 3:\nbroken')
})

test('who is slow takes part in fewer rounds', async () => {
  const command = (): string[] => ['true']
  const job = jobOf([
    { name: ours, description: 'true', command },
    { name: floor, description: 'true', command, mostRuns: 2 },
  ])
  const { standings } = await runJob(job, 3, {}, true, () => {})
  expect(standings.map(({ name, runs }) => [name, runs.length])).toEqual([
    [ours, 3],
    [floor, 2],
  ])
})

test('without warming up the first round counts, and who is not installed is not run', async () => {
  const seen: string[] = []
  const contestant = (name: string): Contestant => ({
    name,
    description: 'true',
    command: () => {
      seen.push(name)
      return ['true']
    },
  })
  const job = jobOf([contestant(ours), contestant(floor), contestant('other')])
  const { absent, standings } = await runJob(job, 2, { other: 'not installed' }, false, () => {})
  expect(seen).toEqual([ours, floor, floor, ours])
  expect(absent).toEqual({ other: 'not installed' })
  expect(standings.map(({ runs }) => runs.length)).toEqual([2, 2])
})
