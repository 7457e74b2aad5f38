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
  // Threads and tools that are ended, or never start.
  for (const tried of operations.all.filter(({ name }) =>
    /^(fetch-qcow2-zlib|convert-to-(qed|luks))$/.test(name),
  )) {
    const kinds: readonly FaultKind[] = ['thread-refused', 'thread-ends', 'tool-killed', 'EAGAIN']
    await tryEveryCall(tried, { tally, kinds, last: 3 })
  }
  // What was found once.
  for (const [name, kind] of [
    ['fetch-qcow2', 'early-end'],
    ['resume', 'EIO'],
    ['resume', 'early-end'],
    ['cache-miss', 'full'],
  ] as const) {
    const tried = operations.all.find((one) => one.name === name)
    if (tried !== undefined)
      await tryEveryCall(tried, { tally, kinds: [kind], stride: kind === 'early-end' ? 1 : 2 })
  }
  expect(tally.findings).toEqual([])
  expect(await settle(before, [])).toEqual([])
  console.info(`${tally.runs} runs of ${operations.all.length} operations`)
}, 300_000)
