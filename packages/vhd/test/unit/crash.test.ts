import { readFileSync } from 'node:fs'
import { campaign, seededRandom } from '@disk-image/testing'
import { examineVhd, openVhdChain } from '@disk-image/vhd'
import { describe, expect, test } from 'vitest'
import { openTarget } from '../../src/files/vhd-file.ts'
import { coalesceFiles } from '../../src/merge/coalesce.ts'
import { writeDisk } from '../helpers/build-vhd.ts'
import { crashChains } from '../helpers/crash-chains.ts'
import { crashingOpen, type CrashKind } from '../helpers/crashing-target.ts'
import { chainView, writeChain } from '../helpers/model.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

/** One of so many writes is the last one, where it may be half of one or lost; a campaign takes each. */
const { seed, runs: crashStep } = campaign(2, 1)

/** What a killed coalesce leaves may have footers that differ; then it is read only by who says so. */
async function show(files: readonly string[], trustEndFooter = false): Promise<Buffer> {
  await using chain = await openVhdChain(files, { trustEndFooter })
  return Buffer.from(await chain.read(0, chain.size))
}

describe.each(Object.entries(crashChains))('%s', (_name, plans) => {
  test.each<CrashKind>(['kill', 'torn', 'power'])(
    'dies at every write (%s): the chain reads the same, and another run completes it',
    { timeout: 60_000 },
    async (kind) => {
      const { paths, disks } = writeChain(temporaryDirectory(), plans)
      const basePath = paths.at(-1) as string
      const view = chainView(plans)
      const children = paths.slice(0, -1).map((file) => readFileSync(file))
      const step = kind === 'kill' ? 1 : crashStep
      let deaths = 0
      let survived: unknown
      for (let at = 0; ; at += step) {
        writeDisk(basePath, disks.at(-1)!)
        const counted = { operations: 0 }
        const open = crashingOpen({ at, kind, random: seededRandom(at * 7919 + seed) }, counted)
        const error: unknown = await coalesceFiles(paths, {}, true, open).catch((reason: unknown) => reason)
        // Reads that were under way may see the file as the crash leaves it.
        if (counted.operations <= at) {
          survived = error
          break
        }
        deaths += 1
        const after = await examineVhd(basePath)
        const fatal = after.issues.flatMap(({ severity, rule }) => (severity === 'fatal' ? [rule] : []))
        const differ = fatal.length > 0
        expect(['footers-differ', 'footer-copy']).toEqual(expect.arrayContaining(fatal))
        const refused = await show(paths).then(
          () => false,
          (error: unknown) => fatal.includes((error as { readonly rule: string }).rule),
        )
        expect(refused).toBe(differ)
        expect(Buffer.compare(await show(paths, differ), view)).toBe(0)
        await coalesceFiles(paths, {}, true, openTarget)
        expect(Buffer.compare((await show([basePath])).subarray(0, view.length), view)).toBe(0)
        expect(Buffer.compare(await show(paths), view)).toBe(0)
        const done = await examineVhd(basePath)
        expect(done.issues.filter(({ severity }) => severity !== 'warning')).toEqual([])
      }
      expect(survived).toBe(basePath)
      expect(deaths * step).toBeGreaterThan(5)
      expect(children.every((bytes, index) => bytes.equals(readFileSync(paths[index] as string)))).toBe(true)
    },
  )
})
