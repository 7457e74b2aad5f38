import { expect, test } from 'vitest'
import { recordProblem } from './image-record.ts'

test.each([
  { id: 'a' },
  { id: 'a', size: null, status: 'queued', tags: [], min_disk: 0, checksum: null },
  {
    id: 'a',
    size: Number.MAX_SAFE_INTEGER,
    created_at: new Date(0),
    locations: [{ url: 'file:///a', metadata: {} }],
  },
])('%j is a record', (record) => {
  expect(recordProblem(record)).toBeUndefined()
})

test.each<readonly [record: unknown, problem: string | RegExp]>([
  [null, 'the record is no object'],
  [[], 'the record is no object'],
  [{}, /^its id is absent/],
  [{ id: 7 }, /^its id is 7/],
  [{ id: '' }, /^its id/],
  [{ id: 'x'.repeat(300) }, /^its id/],
  ...['10', -1, 1.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, true, [1], {}].flatMap((value) =>
    ['size', 'virtual_size', 'min_disk'].map(
      (name) => [{ id: 'a', [name]: value }, new RegExp(`^its ${name} is .* not a whole number`)] as const,
    ),
  ),
  [{ id: 'a', name: {} }, 'its name is {}, not a text'],
  [{ id: 'a', status: ['active'] }, /^its status/],
  [{ id: 'a', disk_format: 1 }, /^its disk_format/],
  [{ id: 'a', os_hash_value: 12 }, /^its os_hash_value/],
  [{ id: 'a', tags: [1] }, /^its tags/],
  [{ id: 'a', name: ['\u001b\u202e'] }, /\\u001b\\u202e/],
])('%j is none', (record, problem) => {
  expect(recordProblem(record)).toMatch(problem)
})
