import { expect, test } from 'vitest'
import { limitsOf, type Machine } from './limits.ts'
import { describeScaling, insertTables, type ScalingResult } from './tables.ts'

const machine: Machine = { cores: 2, hashBytesPerSecond: 500e6, diskBytesPerSecond: 1e9, startSeconds: 0.2 }
const work = { wireBytes: 1e9, dataBytes: 3e8, streams: 1, connections: 1 }

test('the nearest limit is the one that takes longest', () => {
  const nearest = (more: object, cpuSeconds = 1): string | undefined =>
    limitsOf(machine, { ...work, ...more }, cpuSeconds)[0]?.name
  expect(nearest({})).toBe('SHA-512 on one core')
  expect(nearest({ linkBytesPerSecond: 50e6 })).toBe('the link')
  expect(nearest({ roundTripMs: 50, windowBytes: 3e6 })).toBe('window / round trip')
  expect(nearest({ roundTripMs: 50, windowBytes: 3e6, connections: 16 })).toBe('SHA-512 on one core')
  expect(nearest({ streams: 8 })).toBe('SHA-512 on all cores')
  expect(nearest({ dataBytes: 1e10 })).toBe('the disk')
  expect(nearest({}, 10)).toBe('the processors')
  expect(nearest({ wireBytes: 1e3, dataBytes: 0 }, 0.1)).toBe('starting Node.js')
  expect(limitsOf(machine, work, 1)[0]?.seconds).toBeCloseTo(2.2)
})

const result: ScalingResult = {
  section: 'size',
  what: 'raw, 1 GiB',
  runs: 3,
  seconds: { median: 2, min: 1.9, max: 12 },
  cpuSeconds: 2.5,
  peakRssBytes: 150 * 1024 ** 2,
  wireBytes: 1e9,
  dataBytes: 3e8,
  resumes: 0,
  limit: { name: 'SHA-512 on one core', seconds: 1.8 },
}

test('a table for each section, its columns aligned', () => {
  const text = describeScaling(
    [result, { ...result, section: 'latency', what: '50 ms', floorSeconds: 1.5, resumes: 3 }],
    ['Measured.'],
  )
  const lines = text.split('\n')
  expect(lines[0]).toBe('Measured.')
  expect(lines[2]).toMatch(
    /^\| size +\| seconds \| +min–max \| MB\/s \| CPU s \| RSS MiB \| nearest limit +\|$/,
  )
  expect(lines[4]).toContain('| 1.90–12.0 |  500 |  2.50 |     150 | SHA-512 on one core, 1.80 s |')
  expect(new Set(lines.slice(2, 5).map((line) => line.length)).size).toBe(1)
  expect(lines[6]).toMatch(/RSS MiB \| continued \| curl s \|/)
})

test('tables go between the markers, and nothing else changes', () => {
  const page = 'a\n<!-- scaling:start -->\nold\n<!-- scaling:end -->\nb\n'
  const once = insertTables(page, 'new')
  expect(once).toBe('a\n<!-- scaling:start -->\n\nnew\n\n<!-- scaling:end -->\nb\n')
  expect(insertTables(once, 'new')).toBe(once)
  expect(() => insertTables('nothing', 'new')).toThrow('the page has no')
})
