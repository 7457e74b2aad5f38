import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { coalesceChain, discoverVhdChain, examineVhd, fixVhdChain, getVhdSize } from '@disk-image/vhd'
import { describe, expect, test } from 'vitest'
import { chainHash, plansOf, scenarios } from '../helpers/golden.ts'
import { writeChain } from '../helpers/model.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

describe.each(scenarios.map((scenario) => [scenario.name, scenario] as const))('%s', (_name, scenario) => {
  const { before, after } = scenario

  test('reads, coalesces and reads again as the golden table says', { timeout: 60_000 }, async () => {
    const directory = temporaryDirectory()
    writeChain(directory, plansOf(scenario))
    const chain = await discoverVhdChain(directory)
    const base = chain.at(-1) as string
    expect(await Promise.all(chain.map((disk) => getVhdSize(disk)))).toEqual(before.query_v.map(Number))
    expect(await chainHash(chain)).toBe(before.chain_sha)

    await fixVhdChain(chain)
    const children = chain.slice(0, -1).map((child) => readFileSync(child))
    expect(await coalesceChain(chain, { keepZeroBlocks: true })).toBe(base)

    expect(children.every((child, index) => child.equals(readFileSync(chain[index] as string)))).toBe(true)
    expect(await chainHash(chain)).toBe(before.chain_sha)
    expect(await chainHash(base, before.chain_size)).toBe(before.chain_sha)
    // vhd-util overshoots with a preallocated table, and keeps the size where it fails.
    const isRight = scenario.ok && scenario.name !== 'n2-prealloc-grow'
    const largest = Math.max(Number(before.query_v[0]), Number(before.query_v.at(-1)))
    expect(await getVhdSize(base)).toBe(isRight ? Number(after.query_v) : largest)
    // Where it moves blocks to make room, ours moves the table.
    const grows = (before.disks[0]?.csz ?? 0) > (before.disks.at(-1)?.csz ?? 0)
    const isSame = scenario.ok && chain.length === 2 && !grows
    expect(isSame ? readFileSync(base).length : after.disk.fsize).toBe(after.disk.fsize)
    const report = await examineVhd(base)
    const expected = scenario.name === 'n2-qemuio-base' ? ['batmap'] : []
    expect(report.issues.filter(({ severity }) => severity !== 'warning').map(({ rule }) => rule)).toEqual(
      expected,
    )

    const once = readFileSync(base)
    await coalesceChain(chain, { keepZeroBlocks: true })
    expect(readFileSync(base).equals(once)).toBe(true)
  })
})

test('chains that vhd-util wrote itself', async () => {
  const directory = temporaryDirectory()
  const archive = fileURLToPath(new URL('../fixtures/vhd-util-chains.tgz', import.meta.url))
  mkdirSync(path.join(directory, 'chains'))
  execFileSync('tar', ['-xzf', archive, '-C', path.join(directory, 'chains')])
  for (const name of ['n2-equal', 'n2-hidden-base', 'n3-growing']) {
    const { before } = scenarios.find((scenario) => scenario.name === name) ?? scenarios[0]!
    const chain = await discoverVhdChain(path.join(directory, 'chains', name, 'before'))
    const result = await discoverVhdChain(path.join(directory, 'chains', name, 'after'))
    for (const disk of [...chain, ...result]) {
      expect((await examineVhd(disk)).issues.filter(({ severity }) => severity !== 'warning')).toEqual([])
    }
    expect(await chainHash(chain)).toBe(before.chain_sha)
    expect(await chainHash(result.at(-1) as string)).toBe(before.chain_sha)
    await fixVhdChain(chain)
    await coalesceChain(chain)
    expect(await chainHash(chain.at(-1) as string)).toBe(before.chain_sha)
  }
})
