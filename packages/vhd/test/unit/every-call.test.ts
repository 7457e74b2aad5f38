import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { campaign, newTally, settle, takeCensus, type Tried, tryEveryCall } from '@disk-image/testing'
import {
  coalesceChain,
  createSnapshot,
  createVhd,
  flattenChain,
  openVhdChain,
  repairVhd,
  resizeVhd,
  setVhdParent,
} from '@disk-image/vhd'
import { afterAll, expect, test } from 'vitest'
import { crashChains } from '../helpers/crash-chains.ts'
import { chainView, writeChain } from '../helpers/model.ts'

const plans = crashChains['blocks that exist and new ones'] ?? []
const view = chainView(plans)
const root = mkdtempSync(path.join(tmpdir(), 'every-vhd-call-'))
afterAll(() => rmSync(root, { recursive: true }))
const folder = path.join(root, 'work')
const destination = path.join(folder, 'destination')
const leaf = plans.slice(-1)
let paths: string[] = []

async function read(files: readonly string[]): Promise<Buffer> {
  const open = (trustEndFooter: boolean) => openVhdChain(files, { trustEndFooter })
  await using chain = await open(false).catch(() => open(true))
  return Buffer.from(await chain.read(0, chain.size))
}

/** What a chain must read as, whatever became of the call. */
async function reads(files: readonly string[], wanted = view): Promise<void> {
  const found = await read(files)
  if (Buffer.compare(found.subarray(0, wanted.length), wanted) !== 0) throw new Error('other bytes')
}

const operation = (
  name: string,
  run: Tried['run'],
  check: (error: unknown) => Promise<void>,
  of = plans,
): Tried => ({
  name,
  folders: [folder],
  prepare: async () => {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder)
    paths = [...writeChain(folder, of).paths]
  },
  run,
  check,
  mayStay: /\/destination$/,
})
const base = (): string => paths.at(-1) ?? ''

/** Whole, or no disk. */
async function isWholeOrNothing(error: unknown, wanted: Buffer | undefined): Promise<void> {
  if (error !== undefined && !existsSync(destination)) return
  if (error !== undefined && readFileSync(destination).every((byte) => byte === 0)) return
  await using made = await openVhdChain([destination], { trustEndFooter: false })
  if (wanted === undefined) return
  const found = Buffer.from(await made.read(0, wanted.length))
  if (Buffer.compare(found, wanted) !== 0) throw new Error('other bytes')
}

const operations: readonly Tried[] = [
  ...(['in-place', 'copy'] as const).map((mode) =>
    operation(
      `coalesce ${mode}`,
      (signal) => coalesceChain(paths, { mode, signal }),
      async (error) => {
        await reads(paths)
        if (error === undefined) await reads([base()])
        else {
          await coalesceChain(paths)
          await reads([base()])
        }
      },
    ),
  ),
  operation(
    'resize',
    (signal) => resizeVhd(base(), 3, { signal }),
    async () => reads([base()], chainView(leaf)),
    leaf,
  ),
  {
    ...operation(
      'repair',
      (signal) => repairVhd(base(), { signal }),
      async () => {
        await repairVhd(base())
        await reads([base()], chainView(leaf))
      },
      leaf,
    ),
    prepare: async () => {
      rmSync(folder, { recursive: true, force: true })
      mkdirSync(folder)
      paths = [...writeChain(folder, leaf).paths]
      truncateSync(base(), statSync(base()).size - 512)
    },
  },
  operation(
    'flatten',
    (signal) => flattenChain(paths, destination, { signal }),
    async (error) => {
      if (error !== undefined && !existsSync(destination)) return
      if (!readFileSync(destination).equals(view)) throw new Error('other bytes')
    },
  ),
  operation(
    'reparent',
    (signal) => setVhdParent(paths[0] ?? '', paths[1] ?? '', { signal }),
    async () => reads(paths),
  ),
  operation(
    'create',
    () => createVhd(destination, { sizeBytes: 4 * 1024 * 1024 }),
    async (error) => isWholeOrNothing(error, Buffer.alloc(4 * 1024 * 1024)),
  ),
  operation(
    'snapshot',
    () => createSnapshot(destination, paths[0] ?? ''),
    async (error) => {
      if (error === undefined) await reads([destination, ...paths])
    },
  ),
]

test(
  'whichever file call fails, a chain reads the same, and the error has a code',
  { timeout: 300_000 },
  async () => {
    const tally = newTally()
    for (const tried of operations) {
      await tried.prepare()
      await tried.run(new AbortController().signal)
    }
    const before = takeCensus([])
    const { seed, runs: stride } = campaign(7, 1)
    for (const tried of operations) {
      await tryEveryCall(tried, { tally, stride, first: 1 + (seed % stride) })
    }
    expect(tally.findings).toEqual([])
    expect(await settle(before, [])).toEqual([])
    console.info(`${tally.runs} runs of ${operations.length} operations`)
  },
)
