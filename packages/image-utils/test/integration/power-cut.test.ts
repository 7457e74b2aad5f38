import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { campaign, replayCuts, requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Bench, makeBench, subjects } from '../worst-day/power-cuts.ts'

for (const name of ['blkid', 'losetup', 'mke2fs', 'qemu-img']) requireTool(name)

const { seed, runs: states } = campaign(40, 300)
/** The suite takes what differs in how it writes; `pnpm fuzz power-cut` every format. */
const sample = /^fetch (raw|vmdk)|in a store|to (qcow2|vhd \w+) onto existing|OVA onto new/
const wanted = Object.entries(subjects).filter(([name]) => states > 40 || sample.test(name))
let bench: Bench

beforeAll(async () => {
  bench = await makeBench(mkdtempSync(path.join(tmpdir(), 'power-cut-')))
})
afterAll(() => rmSync(bench.directory, { recursive: true }))

test.each(wanted)(
  'a power cut in %s leaves what was there, nothing, or the whole',
  async (_name, make) => {
    await using subject = await make(bench)
    const { failures } = await replayCuts(subject, { seed, states, againEvery: 40 })
    expect(failures).toEqual([])
  },
  600_000,
)
