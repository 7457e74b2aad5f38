import { expect, test } from 'vitest'
import { describeOwner, endOwner, parseOwner } from './owner.ts'

test('what this process says of itself is read again', async () => {
  const owner = await describeOwner(true)
  expect(owner).toMatchObject({ pid: process.pid, endsAtOnce: true })
  expect(parseOwner(JSON.stringify(owner))).toEqual(owner)
})

const said = { machine: 'a', pid: 7, startTime: '1', endsAtOnce: true }

test.each([
  undefined,
  null,
  7,
  '',
  '{',
  'null',
  '7',
  '[]',
  '{}',
  JSON.stringify({ ...said, pid: 1 }),
  JSON.stringify({ ...said, pid: -7 }),
  JSON.stringify({ ...said, pid: 7.5 }),
  JSON.stringify({ ...said, pid: '7' }),
  JSON.stringify({ ...said, startTime: '' }),
  JSON.stringify({ ...said, machine: 7 }),
])('%j names no owner', (record) => {
  expect(parseOwner(record)).toBeUndefined()
})

test('who is elsewhere, or this process itself, is not ended', async () => {
  expect(await endOwner({ ...said, pid: process.pid }, 0)).toBe(false)
  expect(await endOwner(await describeOwner(true), 0)).toBe(false)
})
