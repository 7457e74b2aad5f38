import { expect, test } from 'vitest'
import { buildQcow2 } from '../build/qcow2.ts'
import { inspectBytes } from '../support.ts'

const cluster = 65536n
const table = 4 * 65536
const copied = 1n << 63n

/** An image with these entries in its L2 table, and the check that they fail. */
function judge(l2: readonly bigint[]): { readonly tables: unknown; readonly truncated: unknown } {
  const { checks } = inspectBytes(buildQcow2({ l2 }))
  const check = (name: string): unknown => checks.find((one) => one.name === name)
  return { tables: check('tables'), truncated: check('truncated') }
}

const run = (first: bigint, count: number): bigint[] =>
  Array.from({ length: count }, (_, index) => copied | (first + BigInt(index) * cluster))

test('of clusters that follow each other, the last one that lies behind the end is named', () => {
  const { tables, truncated } = judge([...run(5n * cluster, 7), ...run(5n * cluster, 2)])
  expect(tables).toMatchObject({ ok: true })
  expect(truncated).toMatchObject({ ok: false, offset: table + 6 * 8, found: '0xb0001' })
})

test('clusters that follow each other beyond 4 GiB are found as they are', () => {
  const { tables, truncated } = judge(run((1n << 32n) - 2n * cluster, 5))
  expect(tables).toMatchObject({ ok: true })
  expect(truncated).toMatchObject({ ok: false, offset: table + 4 * 8, found: '0x100020001' })
})

test('an entry without a place does not pass for the next one at 4 GiB', () => {
  const { tables } = judge([...run((1n << 32n) - 2n * cluster, 2), copied])
  expect(tables).toMatchObject({ ok: false, offset: table + 2 * 8 })
})

test('an entry that differs in one half is no part of a run', () => {
  const [first = 0n] = run(5n * cluster, 1)
  expect(judge([first, first + cluster + (1n << 9n)]).tables).toMatchObject({ ok: false, offset: table + 8 })
  const far = first + cluster + (1n << 40n)
  expect(judge([first, far]).truncated).toMatchObject({
    ok: false,
    offset: table + 8,
    found: '0x10000060001',
  })
})

test('a cluster that reads as zeros need not be there, in a run neither', () => {
  const zeros = run(5n * cluster, 9).map((entry) => entry | 1n)
  expect(judge(zeros).truncated).toMatchObject({ ok: true })
  expect(judge([...run(5n * cluster, 1), ...zeros.slice(1)]).truncated).toMatchObject({ ok: true })
})
