import { seededRandom } from '@disk-image/testing'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { coalesceChain, examineVhd, openVhdChain } from '@disk-image/vhd'
import { expect, test } from 'vitest'
import { pattern, type DiskPlan } from '../helpers/build-vhd.ts'
import { crashChains } from '../helpers/crash-chains.ts'
import { chainView, writeChain } from '../helpers/model.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

/** How many times a process is killed; more with VHD_KILL_RUNS. */
const kills = Number(process.env['VHD_KILL_RUNS'] ?? 40)
const script = fileURLToPath(new URL('../helpers/coalesce-and-die.ts', import.meta.url))
const flags = ['--conditions=@disk-image/source', '--no-warnings', script]
const timeout = 60_000 + kills * 2000

const large: readonly DiskPlan[] = [
  {
    type: 'differencing',
    sizeBytes: 16 * 2 ** 20,
    writes: Array.from({ length: 6 }, (_, at) => ({ sector: at * 5000, data: pattern(`leaf${at}`, 2000) })),
  },
  {
    type: 'differencing',
    sizeBytes: 12 * 2 ** 20,
    writes: Array.from({ length: 4 }, (_, at) => ({ sector: at * 6000, data: pattern(`middle${at}`, 3000) })),
  },
  { type: 'dynamic', sizeBytes: 8 * 2 ** 20, writes: [{ sector: 0, data: pattern('base', 9000) }] },
]

async function show(files: readonly string[]): Promise<Buffer> {
  await using chain = await openVhdChain(files)
  return Buffer.from(await chain.read(0, chain.size))
}

/** What must hold after a kill, and after the run that completes it. */
async function judge(paths: readonly string[], view: Buffer, children: readonly Buffer[]): Promise<void> {
  const { issues } = await examineVhd(paths.at(-1) as string)
  const fatal = issues.flatMap(({ severity, rule }) => (severity === 'fatal' ? [rule] : []))
  // Between its two footers a disk is refused; what it shows is right all the same.
  expect(['footers-differ', 'footer-copy']).toEqual(expect.arrayContaining(fatal))
  const shown = await show(paths).catch((error: unknown) => (error as { readonly rule: string }).rule)
  expect(typeof shown === 'string' ? fatal.includes(shown) : Buffer.compare(shown, view) === 0).toBe(true)
  await coalesceChain(paths)
  expect(Buffer.compare((await show(paths.slice(-1))).subarray(0, view.length), view)).toBe(0)
  expect(Buffer.compare(await show(paths), view)).toBe(0)
  const done = await examineVhd(paths.at(-1) as string)
  expect(done.issues.filter(({ severity }) => severity !== 'warning')).toEqual([])
  expect(children.every((bytes, index) => bytes.equals(readFileSync(paths[index] as string)))).toBe(true)
}

test(`killed in the middle of ${Math.ceil(kills / 2)} writes`, { timeout }, async () => {
  const random = seededRandom(1)
  const cases = [...Object.values(crashChains), large].map((plans) => {
    const { paths } = writeChain(temporaryDirectory(), plans)
    const kept = `${paths.at(-1) as string}.kept`
    copyFileSync(paths.at(-1) as string, kept)
    const operations = Number(
      execFileSync(process.execPath, [...flags, 'never', ...paths], { encoding: 'utf8' }),
    )
    return {
      paths,
      kept,
      operations,
      view: chainView(plans),
      children: paths.slice(0, -1).map((file) => readFileSync(file)),
    }
  })
  for (let run = 0; run < kills / 2; run += 1) {
    const { paths, kept, operations, view, children } = cases[run % cases.length]!
    copyFileSync(kept, paths.at(-1) as string)
    const at = Math.floor(random() * operations)
    const child = execFile(process.execPath, [...flags, String(at), ...paths])
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
    expect(signal).toBe('SIGKILL')
    await judge(paths, view, children)
  }
})

test(`killed from outside at ${Math.floor(kills / 2)} random moments`, { timeout }, async () => {
  const random = seededRandom(2)
  const { paths } = writeChain(temporaryDirectory(), large)
  const kept = path.join(path.dirname(paths[0] as string), 'kept')
  copyFileSync(paths.at(-1) as string, kept)
  const view = chainView(large)
  const children = paths.slice(0, -1).map((file) => readFileSync(file))
  let killed = 0
  for (let run = 0; run < kills / 2; run += 1) {
    copyFileSync(kept, paths.at(-1) as string)
    const child = spawn(process.execPath, [...flags, 'wait', ...paths], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exit = once(child, 'exit') as Promise<[number | null, string | null]>
    await once(child.stdout, 'data')
    await new Promise((resolve) => setTimeout(resolve, random() * 120))
    child.kill('SIGKILL')
    const [, signal] = await exit
    if (signal === 'SIGKILL') killed += 1
    await judge(paths, view, children)
  }
  expect(killed).toBeGreaterThan(0)
})
