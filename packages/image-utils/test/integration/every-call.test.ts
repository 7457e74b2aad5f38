import { type FaultKind, newTally, settle, takeCensus, tryEveryCall } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeOperations, type Operations } from '../worst-day/operations.ts'

/** Where every call fails once; of the others only some do. `pnpm fuzz faults` has all of each. */
const whole = /^(fetch-raw|fetch-raw-over|store-create|store-delete)$/

let operations: Operations
beforeAll(async () => {
  operations = await makeOperations()
})
afterAll(() => operations[Symbol.asyncDispose]())

test('whichever file call fails, what it was for ends with a code, and leaves nothing', async () => {
  const tally = newTally()
  const [one] = operations.all
  await one?.prepare()
  await one?.run(new AbortController().signal)
  const before = takeCensus([])
  for (const [index, tried] of operations.all.entries()) {
    const some: readonly FaultKind[] = ['EIO', 'full', 'early-end', 'no-write', 'dead']
    if (whole.test(tried.name)) await tryEveryCall(tried, { tally, kinds: ['EIO'] })
    else {
      const first = 1 + ((index * 7) % 30)
      const kinds = [some[index % some.length] ?? 'EIO']
      await tryEveryCall(tried, { tally, kinds, first, stride: 20, last: first + 40 })
    }
  }
  expect(tally.findings).toEqual([])
  expect(await settle(before, [])).toEqual([])
  console.info(`${tally.runs} runs of ${operations.all.length} operations`)
}, 300_000)
