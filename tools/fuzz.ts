/**
 * Looks for faults with made and damaged input until the time is up, each part in its turn or one of them alone.
 *
 *     pnpm fuzz [PART] [--minutes 10] [--seed N] [--go-on] [the part's own options]
 *
 * A part is a script that takes `--seed N --seconds S [--go-on]`, ends with a line of counts as JSON, and with code 1
 * where it found something. `fuzz()` of @disk-image/testing is its main function; it says each seed before it begins
 * with it, so that a hang can be made again, too. Each finding is named by the line that repeats it.
 */
import { fork } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

/** The parts: a script, or tests that take their seed from `campaign()`. */
const parts: Readonly<Record<string, string | readonly string[]>> = {
  inspector: 'packages/format-policy/test/fuzz.ts',
  disk: 'packages/disk/test/fuzz.ts',
  descriptors: 'packages/disk/test/fuzz-descriptors.ts',
  http: 'packages/glance-client/test/fuzz.ts',
  url: 'packages/sources/test/fuzz.ts',
  glance: 'packages/glance-client/test/fuzz-simulation.ts',
  fleet: 'packages/fleet/test/fuzz-simulation.ts',
  queue: 'packages/image-utils/test/fuzz-simulation.ts',
  kills: 'packages/host/test/fuzz-kills.ts',
  stops: 'packages/fleet/test/fuzz-stops.ts',
  web: 'packages/sources/test/fuzz-simulation.ts',
  qcow2: ['disk:integration', 'qcow2/differential'],
  mutations: ['format-policy:unit', 'unit/mutations'],
  corpus: ['format-policy:integration', 'integration/corpus'],
  fetches: ['image-utils:integration', 'integration/corpus'],
  soundness: ['format-policy:integration', 'integration/soundness'],
  'vhd-chain': ['vhd:unit', 'unit/coalesce-property'],
  'vhd-stream': ['vhd:unit', 'unit/stream'],
  'vhd-damaged': ['vhd:unit', 'unit/damaged'],
  'vhd-crash': ['vhd:unit', 'unit/crash'],
  'power-cut': ['image-utils:integration', 'integration/power-cut'],
  'vhd-power-cut': ['vhd:unit', 'unit/power-cut'],
  cuts: ['sources:integration', 'integration/url'],
  faults: 'packages/image-utils/test/worst-day/faults.ts',
  soak: 'packages/image-utils/test/worst-day/soak.ts',
}
const testPart = 'tools/fuzz-tests.ts'
const longestTurnSeconds = 60
/** How much longer than its time a part may run: a case that was begun is ended. */
const graceSeconds = 300

const repository = path.join(import.meta.dirname, '..')
const { values, positionals, tokens } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    'go-on': { type: 'boolean', default: false },
  },
  allowPositionals: true,
  strict: false,
  tokens: true,
})
const known = new Set(['minutes', 'seed', 'go-on'])
const [wanted, ...rest] = positionals
/** What is no option of ours goes to the part as it was given. */
const own = tokens.flatMap((token) =>
  token.kind === 'option' && !known.has(token.name)
    ? [token.value === undefined ? token.rawName : `${token.rawName}=${token.value}`]
    : [],
)
const names = wanted === undefined ? Object.keys(parts) : wanted.split(',')
const unknown = names.find((name) => !(name in parts))
if (unknown !== undefined) throw new TypeError(`no part ${unknown}; ${Object.keys(parts).join(', ')} are`)

interface Turn {
  readonly counts: Readonly<Record<string, number>>
  readonly failed: readonly string[]
}

/** One turn of a part. */
async function take(name: string, seed: number, seconds: number): Promise<Turn> {
  const part = parts[name] ?? ''
  const [script, ...args] = typeof part === 'string' ? [part] : [testPart, ...part]
  const goOn = values['go-on'] === true ? ['--go-on'] : []
  const options = [...args, ...own, ...rest, '--seed', String(seed), '--seconds', String(seconds), ...goOn]
  const child = fork(path.join(repository, script ?? ''), options, {
    cwd: repository,
    execArgv: ['--conditions=@disk-image/source'],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const repeat = (at: number | string): string => {
    const which = typeof at === 'string' ? at : `--seed ${at} --minutes 0`
    return `pnpm fuzz ${[name, ...own, ...rest, which].join(' ')}`
  }
  const failed: string[] = []
  let [current, last] = [seed, '']
  child.on('message', (message: { readonly seed?: number; readonly failed?: number | string }) => {
    current = message.seed ?? current
    if (message.failed !== undefined) failed.push(repeat(message.failed))
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), (seconds + graceSeconds) * 1000)
  const ended = new Promise<readonly [number | null, string | null]>((resolve) => {
    child.once('exit', (code, signal) => resolve([code, signal]))
  })
  if (child.stdout !== null) {
    for await (const line of createInterface(child.stdout)) {
      if (last !== '') console.log(`  ${last}`)
      last = line
    }
  }
  const [code, signal] = await ended
  clearTimeout(timer)
  const isCounted = code !== null && last.startsWith('{')
  if (!isCounted && last !== '') console.log(`  ${last}`)
  if (signal !== null) console.error(`${name} was ended by ${signal} at seed ${current}`)
  if (code !== 0 && failed.length === 0) failed.push(repeat(current))
  return { counts: isCounted ? (JSON.parse(last) as Turn['counts']) : {}, failed }
}

const totalSeconds = Number(values.minutes) * 60
const turnSeconds = Math.min(longestTurnSeconds, totalSeconds / names.length)
const end = Date.now() + totalSeconds * 1000
const totals = new Map<string, Record<string, number>>()
const failures: string[] = []
// In turns, so that one who stops early has seen something of each.
for (
  let [turn, seed] = [0, Number(values.seed)];
  turn === 0 || Date.now() < end;
  turn += 1, seed += 1_000_003
) {
  for (const name of names) {
    if (turn > 0 && Date.now() >= end) break
    const seconds = names.length === 1 ? totalSeconds : turnSeconds
    const { counts, failed } = await take(name, seed, Math.round(seconds))
    const sum = totals.get(name) ?? {}
    // What is the most of something stays one.
    for (const [key, value] of Object.entries(counts)) {
      sum[key] = /^(most|slowest)/.test(key) ? Math.max(sum[key] ?? 0, value) : (sum[key] ?? 0) + value
    }
    totals.set(name, sum)
    console.log(`${name} from seed ${seed}: ${JSON.stringify(counts)}`)
    for (const line of failed) console.log(`FAILED: ${line}`)
    failures.push(...failed)
  }
  if (failures.length > 0 && values['go-on'] !== true) break
}
console.log(`\nIn all, ${failures.length} failures, from seed ${String(values.seed)} on:`)
for (const [name, sum] of totals) console.log(`${name}: ${JSON.stringify(sum)}`)
for (const line of failures) console.log(`FAILED: ${line}`)
process.exitCode = failures.length > 0 ? 1 : 0
