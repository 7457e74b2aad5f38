/**
 * An error at every file call of every operation; what repeats a finding is printed with it. This is `pnpm fuzz faults`:
 *
 *     pnpm fuzz faults --minutes 60 [--operation NAMES] [--kind KIND [--call N]] [--stride N]
 */
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { faultKinds, type FaultKind, newTally, settle, takeCensus, tryEveryCall } from '@disk-image/testing'
import { makeOperations } from './operations.ts'

/* oxlint-disable no-console -- a script whose output is its result */
const text = { type: 'string' } as const
const { values } = parseArgs({
  options: {
    seed: text,
    seconds: text,
    operation: text,
    kind: text,
    call: text,
    'go-on': { type: 'boolean' },
  },
  strict: false,
})
const {
  operation: names = '',
  kind,
  call,
  stride = 1,
} = values as Readonly<Record<string, string | undefined>>
const mostMs = values['seconds'] === undefined ? Infinity : Number(values['seconds']) * 1000
const began = performance.now()
await using operations = await makeOperations()
const wanted = operations.all.filter(({ name }) => new RegExp(`^(?:${names})`).test(name))
const first = Number(values['seed'] ?? 0) % wanted.length
const counts: Record<string, number> = { operations: 0, runs: 0, survived: 0, findings: 0 }
// Node.js keeps what it opened for its first threads and processes.
await wanted[first]?.prepare()
await wanted[first]?.run(new AbortController().signal)
await delay(4000)
const before = takeCensus([])
// The time decides where it ends, the seed where it begins.
for (const tried of [...wanted.slice(first), ...wanted.slice(0, first)]) {
  const tally = newTally()
  await tryEveryCall(tried, {
    tally,
    stride: Number(stride),
    kinds: kind === undefined ? faultKinds : [kind as FaultKind],
    ...(call === undefined ? {} : { first: Number(call), last: Number(call) }),
  })
  counts['operations'] = (counts['operations'] ?? 0) + 1
  counts['runs'] = (counts['runs'] ?? 0) + tally.runs
  counts['survived'] = (counts['survived'] ?? 0) + tally.survived
  counts['findings'] = (counts['findings'] ?? 0) + tally.findings.length
  for (const [code, count] of Object.entries(tally.codes)) counts[code] = (counts[code] ?? 0) + count
  console.log(`${tried.name}: ${tally.calls} calls, ${tally.runs} runs, ${tally.findings.length} findings`)
  for (const { operation, kind: found, call: at, what } of tally.findings) {
    const repeat = `--operation ${operation}$ --kind ${found} --call ${at}`
    console.error(`${repeat}: ${what}`)
    process.send?.({ failed: repeat })
    process.exitCode = 1
  }
  if (performance.now() - began > mostMs) break
  if (process.exitCode === 1 && values['go-on'] !== true) break
}
const left = await settle(before, [])
if (left.length > 0) {
  process.exitCode = 1
  console.error(`left over: ${left.join('; ')}`)
}
console.log(JSON.stringify(counts))
process.disconnect?.()
