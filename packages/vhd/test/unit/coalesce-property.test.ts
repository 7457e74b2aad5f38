import { readFileSync, rmSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { campaign } from '@disk-image/testing'
import {
  coalesceChain,
  coalesceVhd,
  examineVhd,
  fixVhdChain,
  flattenChain,
  openVhdChain,
  resizeVhd,
  streamDynamicVhd,
  streamFixedVhd,
  streamRaw,
  type ByteStream,
  type ChainFile,
} from '@disk-image/vhd'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { arbitraryChain, plansFrom } from '../helpers/arbitrary-chain.ts'
import type { DiskPlan } from '../helpers/build-vhd.ts'
import { chainView, writeChain } from '../helpers/model.ts'

const { seed, runs: numRuns } = campaign(30)

async function withChain(
  plans: readonly DiskPlan[],
  body: (chain: ChainFile[], paths: string[], directory: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'disk-image-vhd-'))
  try {
    const { paths } = writeChain(directory, plans)
    const last = plans.length - 1
    const chain = paths.map((file, index): ChainFile =>
      index === last && plans[last]?.type === 'raw' ? { source: file, format: 'raw' } : file,
    )
    await body(chain, paths, directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function collect(stream: ByteStream): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(Uint8Array.from(part))
  const bytes = Buffer.concat(parts)
  expect(bytes).toHaveLength(stream.sizeBytes)
  return bytes
}

async function show(chain: ChainFile[]): Promise<Buffer> {
  await using opened = await openVhdChain(chain)
  return await collect(streamRaw(opened))
}

function equal(actual: Uint8Array, expected: Uint8Array): void {
  // A plain comparison of megabytes prints for minutes when it fails.
  if (Buffer.compare(actual, expected) === 0) return
  const at = actual.findIndex((byte, index) => byte !== expected[index])
  expect.fail(`differs at byte ${at} of ${actual.length} (${expected.length} expected)`)
}

test(
  'a coalesced chain is what the model says, and so is the chain before and after',
  { timeout: 120_000 },
  async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryChain(['dynamic', 'dynamic', 'dynamic', 'fixed', 'raw']),
        fc.boolean(),
        fc.constantFrom('in-place' as const, 'in-place' as const, 'copy' as const),
        async (spec, keepZeroBlocks, mode) => {
          const plans = plansFrom(spec)
          const view = chainView(plans)
          await withChain(plans, async (chain, paths) => {
            equal(await show(chain), view)
            const children = paths.slice(0, -1).map((file) => readFileSync(file))
            const seen: number[] = []
            const base = await coalesceChain(chain, {
              keepZeroBlocks,
              mode,
              onProgress: ({ completed, total }) => {
                seen.push(completed)
                expect(completed).toBeLessThanOrEqual(total ?? 0)
              },
            })
            expect(base).toBe(paths.at(-1))
            expect(seen).toEqual(seen.toSorted((a, b) => a - b))
            equal(await show(chain), view)
            const merged = await show(chain.slice(-1))
            equal(merged.subarray(0, view.length), view)
            const baseSize = plans.at(-1)?.sizeBytes ?? 0
            expect(merged).toHaveLength(Math.max(view.length, baseSize))
            equal(
              Buffer.concat(paths.slice(0, -1).map((file) => readFileSync(file))),
              Buffer.concat(children),
            )
            if (plans.at(-1)?.type === 'raw') return
            const { issues } = await examineVhd(base)
            expect(issues.filter(({ severity }) => severity !== 'warning')).toEqual([])
            const once = readFileSync(base)
            await coalesceChain(chain, { keepZeroBlocks })
            equal(readFileSync(base), once)
          })
        },
      ),
      { numRuns, seed },
    )
  },
)

test('streams and files made of a chain show the chain', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      arbitraryChain(['dynamic', 'dynamic', 'fixed', 'raw']),
      fc.nat(),
      fc.nat(5000),
      async (spec, offset, length) => {
        const plans = plansFrom(spec)
        const view = chainView(plans)
        await withChain(plans, async (chain, _paths, directory) => {
          await using opened = await openVhdChain(chain)
          const from = offset % (view.length + 1)
          equal(await opened.read(from, length), view.subarray(from, from + length))
          const fixed = await collect(streamFixedVhd(opened))
          expect((fixed.length - 512) % 2 ** 20).toBe(0)
          equal(fixed.subarray(0, view.length), view)
          const dynamic = await collect(await streamDynamicVhd(opened))
          const reader = {
            size: dynamic.length,
            read: (at: number, count: number) => Promise.resolve(dynamic.subarray(at, at + count)),
          }
          expect((await examineVhd(reader)).issues).toEqual([])
          await using again = await openVhdChain(reader)
          equal((await collect(streamRaw(again))).subarray(0, view.length), view)
          for (const format of ['raw', 'fixed', 'dynamic'] as const) {
            const file = path.join(directory, `out.${format}`)
            await flattenChain(chain, file, { format })
            if (format === 'raw') equal(readFileSync(file), view)
            else equal((await show([file])).subarray(0, view.length), view)
          }
        })
      },
    ),
    { numRuns: Math.ceil(numRuns / 2), seed },
  )
})

test('a disk that was made larger shows what it showed, and zeros behind', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      arbitraryChain(['dynamic', 'fixed']),
      fc.integer({ min: 1, max: 64 }),
      async (spec, sizeMiB) => {
        const plan = plansFrom(spec).at(-1) as DiskPlan
        const view = chainView([plan])
        await withChain([plan], async (chain, paths) => {
          await resizeVhd(paths[0] as string, sizeMiB)
          const shown = await show(chain)
          expect(shown).toHaveLength(Math.ceil(sizeMiB / 2) * 2 ** 21)
          equal(shown.subarray(0, view.length), view)
          equal(shown.subarray(view.length), Buffer.alloc(shown.length - view.length))
          const { issues } = await examineVhd(paths[0] as string)
          expect(issues.filter(({ severity }) => severity !== 'warning')).toEqual([])
        })
      },
    ),
    { numRuns: Math.ceil(numRuns / 2), seed },
  )
})

test('merging from the leaf step by step gives the same as one pass', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryChain(['dynamic']), async (spec) => {
      const plans = plansFrom(spec)
      const view = chainView(plans)
      // Only where nobody is smaller than its parent is the result of steps defined at all.
      fc.pre(plans.every((plan, index) => plan.sizeBytes >= (plans[index + 1]?.sizeBytes ?? 0)))
      await withChain(plans, async (chain, paths) => {
        await fixVhdChain(paths)
        for (const child of paths.slice(0, -1)) await coalesceVhd(child)
        expect(Buffer.compare(await show(chain.slice(-1)), view)).toBe(0)
      })
    }),
    { numRuns: Math.ceil(numRuns / 2), seed },
  )
})
