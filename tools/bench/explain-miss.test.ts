import { expect, test } from 'vitest'
import { explainMisses, type MachineRates } from './explain-miss.ts'
import { cinder, download, floor, ours, oursUnsynced, type Target } from './job.ts'
import { judge, type JobResult, type Standing } from './run-job.ts'

const MiB = 1024 ** 2
const rates: MachineRates = { cores: 2, hashBytesPerSecond: 800 * MiB, diskBytesPerSecond: 400e6 }

const same = (value: number): { median: number; min: number; max: number } => ({
  median: value,
  min: value,
  max: value,
})

function standing(name: string, wall: number, call: number, written = 0): Standing {
  return {
    name,
    description: name,
    runs: [],
    seconds: same(wall),
    callSeconds: same(call),
    cpuSeconds: same(wall),
    machineBusySeconds: same(1.5 * wall),
    peakRssBytes: same(MiB),
    storageWrittenBytes: same(written),
    storageReadBytes: same(0),
  }
}

function explained(
  target: Target,
  standings: Standing[],
  hashedBytes?: number,
  usualHash?: number,
): readonly string[] | undefined {
  const result: JobResult = {
    job: 'job',
    sizeGiB: 1,
    standings,
    judgements: judge({ targets: [target] }, standings),
    comparisons: [],
    absent: {},
    ...(usualHash === undefined ? {} : { hashBytesPerSecond: same(usualHash) }),
  }
  return explainMisses({ targets: [target], hashedBytes }, result, rates).judgements[0]?.limits
}

const wall: Target = { against: floor, figure: 'wall', atMost: 0.6 }

test('a target below the least possible time is said to be so', () => {
  const limits = explained(wall, [standing(ours, 0.8, 0.6), standing(floor, 0.9, 0.9)], 320 * MiB)
  expect(limits?.[0]).toBe(
    'least possible: 0.40 s of SHA-512 (320 MiB at 839 MB/s) + 0.20 s start of Node.js = 0.60 s; ' +
      '0.6 × floor = 0.54 s, which is less',
  )
  expect(limits?.[1]).toBe(
    'of 0.80 s, 0.20 s (25 %) are the start and end of Node.js; 0.80 CPU s are 50 % of 2 cores, ' +
      '1.20 s (75 %) with everything else on the machine: 0.60 s at least, evenly shared',
  )
})

test('a hash that was slower before the rounds than at its best is said to have been', () => {
  const standings = [standing(ours, 0.8, 0.6), standing(floor, 1.2, 1.2)]
  const limits = explained(wall, standings, 320 * MiB, 500 * MiB)
  expect(limits?.slice(0, 2)).toEqual([
    'least possible: 0.40 s of SHA-512 (320 MiB at 839 MB/s) + 0.20 s start of Node.js = 0.60 s; 0.6 × floor = 0.72 s',
    'at the rate that the hash had before these rounds: 0.64 s of SHA-512 (320 MiB at 524 MB/s) + ' +
      '0.20 s start of Node.js = 0.84 s; 0.6 × floor = 0.72 s, which is less',
  ])
  const unchanged = explained(wall, standings, 320 * MiB, 900 * MiB)
  expect(unchanged?.some((line) => line.includes('before these rounds'))).toBe(false)
})

test('one that could be reached is not excused', () => {
  const limits = explained(wall, [standing(ours, 0.8, 0.6, 100e6), standing(floor, 1.2, 1.2)], 320 * MiB)
  expect(limits?.[0]).toMatch(/= 0\.60 s; 0\.6 × floor = 0\.72 s$/)
  expect(limits?.[1]).toMatch(
    /^least possible: 0\.25 s for the disk \(95 MiB at 400 MB\/s\).* = 0\.45 s; .* = 0\.72 s$/,
  )
})

test('a disk that needs longer than is allowed is said to be the limit', () => {
  const limits = explained(wall, [standing(ours, 0.9, 0.8, 240e6), standing(floor, 1, 1)], 32 * MiB)
  expect(limits?.[1]).toBe(
    'least possible: 0.60 s for the disk (229 MiB at 400 MB/s) + 0.10 s start of Node.js = 0.70 s; ' +
      '0.6 × floor = 0.60 s, which is less',
  )
  const call: Target = { against: floor, figure: 'call', atMost: 0.5 }
  expect(explained(call, [standing(ours, 0.9, 0.8, 240e6), standing(floor, 1, 1)], 32 * MiB)?.[1]).toBe(
    "least possible: 0.60 s for the disk (229 MiB at 400 MB/s); 0.5 × floor's call = 0.50 s, which is less",
  )
})

test('a disk that was faster than measured is not called the limit', () => {
  const limits = explained(wall, [standing(ours, 0.8, 0.6, 400e6), standing(floor, 1.2, 1.2)], 320 * MiB)
  expect(limits?.[1]).toContain('381 MiB were written faster than the 400 MB/s measured of the disk')
  expect(limits?.[1]).not.toContain('least possible')
})

test('what the same takes without waiting for the disk is said', () => {
  const all = (unsynced: number): Standing[] => [
    standing(ours, 0.9, 0.8, 240e6),
    standing(oursUnsynced, unsynced, unsynced - 0.1, 240e6),
    standing(floor, 1, 1),
  ]
  expect(explained(wall, all(0.5), 32 * MiB)?.[2]).toBe(
    '0.50 s without waiting for the disk (ours, unsynced); 0.6 × floor = 0.60 s is reached so',
  )
  expect(explained(wall, all(0.7), 32 * MiB)?.[2]).toBe(
    '0.70 s without waiting for the disk (ours, unsynced); 0.6 × floor = 0.60 s is not reached so either',
  )
  // Of who doesn't wait, the disk is no limit.
  const unsynced = explained({ ...wall, of: oursUnsynced }, all(0.7), 32 * MiB)
  expect(unsynced).toHaveLength(2)
  expect(unsynced?.join('\n')).not.toContain('disk')
})

test('a download that alone takes too long is said to', () => {
  const all = [standing(ours, 0.9, 0.8), standing(floor, 1, 1), standing(download, 0.55, 0.55)]
  expect(explained(wall, all, 32 * MiB)?.[1]).toBe(
    'least possible: 0.55 s for the download (download) + 0.10 s start of Node.js = 0.65 s; ' +
      '0.6 × floor = 0.60 s, which is less',
  )
  // Whom ours overtakes is held up by something of its own.
  const slow = [standing(ours, 0.9, 0.8), standing(floor, 1, 1), standing(download, 0.85, 0.85)]
  expect(explained(wall, slow, 32 * MiB)?.join('\n')).not.toContain('download')
  const cpu: Target = { against: floor, figure: 'cpu', atMost: 0.5 }
  expect(explained(cpu, all, 32 * MiB)?.join('\n')).not.toContain('download')
})

test('inside the call there is no start, and without a hash no least time is claimed', () => {
  const call: Target = { against: floor, figure: 'call', atMost: 0.5 }
  expect(explained(call, [standing(ours, 1, 0.8), standing(floor, 1, 1)], 800 * MiB)?.[0]).toBe(
    "least possible: 1.00 s of SHA-512 (800 MiB at 839 MB/s); 0.5 × floor's call = 0.50 s, which is less",
  )
  expect(explained(wall, [standing(ours, 1, 0.7), standing(floor, 1, 1)])?.[0]).toBe(
    '0.6 × floor = 0.60 s, of which 0.30 s start of Node.js leave 0.30 s for the call; it took 0.70 s',
  )
})

test('where the script alone takes longer than allowed, the service is the limit', () => {
  const call: Target = { against: cinder, figure: 'call', atMost: 0.5 }
  const all = [standing(ours, 4, 3.9), standing(floor, 3.8, 3.8), standing(cinder, 6, 4)]
  const service =
    'floor itself takes 3.80 s, more than the 2.00 s allowed: the service, not the sender, is the limit'
  expect(explained(call, all, 320 * MiB)?.[1]).toBe(service)
  // The same where nothing is hashed.
  expect(explained(call, all)?.[0]).toBe(service)
  expect(
    explained(call, [standing(ours, 4, 3.9), standing(floor, 1, 1), standing(cinder, 6, 4)], 1),
  ).toHaveLength(2)
  // Whom ours overtakes is held up by something of its own.
  expect(
    explained(call, [standing(ours, 3.7, 3.6), standing(floor, 3.8, 3.8), standing(cinder, 6, 4)], 1),
  ).toHaveLength(2)
})

test('a target that is met, and one that nobody ran for, have nothing to explain', () => {
  expect(explained(wall, [standing(ours, 0.5, 0.5), standing(floor, 1, 1)])).toBeUndefined()
  expect(explained(wall, [standing(floor, 1, 1)])).toBeUndefined()
})
