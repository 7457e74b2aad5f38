import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  coalesceChain,
  createVhd,
  examineVhd,
  fixVhdChain,
  flattenChain,
  getVhdInfo,
  openVhdChain,
  resizeVhd,
  streamDynamicVhd,
  writeDynamicVhd,
} from '@disk-image/vhd'
import { requireTool } from '@disk-image/testing'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { arbitraryChain, plansFrom } from '../helpers/arbitrary-chain.ts'
import { pattern, type DiskPlan } from '../helpers/build-vhd.ts'
import { chainHash, plansOf, scenarios } from '../helpers/golden.ts'
import { chainView, writeChain } from '../helpers/model.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

beforeAll(() => {
  requireTool('qemu-img', 'qemu-utils')
  requireTool('qemu-io', 'qemu-utils')
  requireTool('vhdiinfo', 'libvhdi-utils')
})

/** What qemu makes of a VHD that has no parent. It must never be given one that has. */
function toRaw(file: string): string {
  const raw = `${file}.qemu.raw`
  const options = `driver=vpc,file.filename=${file},force_size_calc=current_size`
  execFileSync('qemu-img', ['convert', '--image-opts', options, '-O', 'raw', raw])
  return raw
}

async function hashFile(file: string, limit: number): Promise<string> {
  const hash = createHash('sha256')
  if (limit > 0)
    for await (const bytes of createReadStream(file, { end: limit - 1 })) hash.update(bytes as Buffer)
  return hash.digest('hex')
}

function mediaSize(file: string): number {
  const text = execFileSync('vhdiinfo', [file], { encoding: 'utf8' })
  return Number(/Media size\s*:.*?\((\d+) bytes\)/.exec(text)?.[1])
}

describe.each(
  scenarios
    .filter(({ name }) => name !== 'n2-leaf-grown-3000')
    .map((scenario) => [scenario.name, scenario] as const),
)('%s', (_name, scenario) => {
  test('coalesced, qemu-img reads what the chain showed, and libvhdi opens it', async () => {
    const { paths } = writeChain(temporaryDirectory(), plansOf(scenario))
    await fixVhdChain(paths)
    const base = await coalesceChain(paths)
    const { chain_sha: expected, chain_size: size } = scenario.before
    expect(await hashFile(toRaw(base), size)).toBe(expected)
    const info = JSON.parse(
      execFileSync('qemu-img', ['info', '-f', 'vpc', '--output=json', base], { encoding: 'utf8' }),
    ) as {
      'virtual-size': number
    }
    const { currentSizeBytes, originalSizeBytes, creator } = await getVhdInfo(base)
    expect(creator === 'tap' ? info['virtual-size'] : currentSizeBytes).toBe(currentSizeBytes)
    // libvhdi shows the size that a disk was made with.
    expect(mediaSize(base)).toBe(originalSizeBytes)
  })
})

test('chains over disks that qemu made and wrote', async () => {
  const directory = temporaryDirectory()
  for (const [index, options] of [
    'subformat=dynamic',
    'subformat=dynamic,force_size=on',
    'subformat=fixed,force_size=on',
  ].entries()) {
    const base = path.join(directory, `base${index}.vhd`)
    execFileSync('qemu-img', ['create', '-f', 'vpc', '-o', options, base, '10M'])
    execFileSync('qemu-io', ['-f', 'vpc', '-c', 'write -P 0xa1 0 4096', '-c', 'write -P 0xa2 5M 1M', base])
    const { uniqueId, currentSizeBytes } = await getVhdInfo(base)
    const leaf: DiskPlan = {
      type: 'differencing',
      sizeBytes: currentSizeBytes,
      parentUniqueId: uniqueId,
      writes: [
        { sector: 3, data: pattern('leaf', 2) },
        { sector: 12_000, data: pattern('leaf', 100) },
      ],
    }
    const { paths } = writeChain(directory, [leaf])
    const chain = [paths[0] as string, base]
    const expected = Buffer.alloc(currentSizeBytes)
    expected.fill(0xa1, 0, 4096).fill(0xa2, 5 * 2 ** 20, 6 * 2 ** 20)
    expected.set(pattern('leaf', 2), 3 * 512)
    expected.set(pattern('leaf', 100), 12_000 * 512)
    const hash = createHash('sha256').update(expected).digest('hex')
    expect(await chainHash(chain)).toBe(hash)
    await coalesceChain(chain)
    expect(await hashFile(toRaw(base), expected.length)).toBe(hash)
  }
})

test('random chains, flattened in every way, as qemu reads them', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryChain(['dynamic', 'fixed']), async (spec) => {
      const plans = plansFrom(spec)
      // qemu takes blocks of 2 MiB only, and whole sectors.
      fc.pre(plans.every(({ sizeBytes }) => sizeBytes % 512 === 0))
      const directory = mkdtempSync(path.join(tmpdir(), 'disk-image-vhd-'))
      const { paths } = writeChain(directory, plans)
      const view = chainView(plans)
      const hash = createHash('sha256').update(view).digest('hex')
      for (const format of ['fixed', 'dynamic'] as const) {
        const file = path.join(directory, `out.${format}`)
        await flattenChain(paths, file, { format })
        expect(await hashFile(toRaw(file), view.length)).toBe(hash)
        expect(mediaSize(file)).toBe((await getVhdInfo(file)).currentSizeBytes)
      }
      const streamed = path.join(directory, 'streamed.vhd')
      await using chain = await openVhdChain(paths)
      await writeFile(streamed, await streamDynamicVhd(chain))
      expect(await hashFile(toRaw(streamed), view.length)).toBe(hash)
      rmSync(directory, { recursive: true, force: true })
    }),
    { numRuns: Number(process.env['VHD_QEMU_RUNS'] ?? 12) },
  )
})

test('new and grown disks, empty and written by qemu', async () => {
  const directory = temporaryDirectory()
  for (const style of ['xenserver', 'windows'] as const) {
    const file = path.join(directory, `${style}.vhd`)
    await createVhd(file, { sizeBytes: 10 * 2 ** 20, style })
    const raw = path.join(directory, `${style}.raw`)
    await writeDynamicVhd(
      (async function* () {
        yield Buffer.alloc(2 ** 20, 7)
        yield Buffer.alloc(9 * 2 ** 20)
      })(),
      raw,
      { sizeBytes: 10 * 2 ** 20, style },
    )
    await resizeVhd(raw, 600)
    execFileSync('qemu-io', ['-f', 'vpc', '-c', 'write -P 9 500M 1M', raw])
    expect((await examineVhd(raw)).ok).toBe(true)
    await using chain = await openVhdChain(raw)
    expect(await chain.read(500 * 2 ** 20, 3)).toEqual(new Uint8Array([9, 9, 9]))
    expect(await chain.read(2 ** 20 - 1, 2)).toEqual(new Uint8Array([7, 0]))
    expect(mediaSize(file)).toBe(10 * 2 ** 20)
    expect(statSync(toRaw(file)).size).toBe(10 * 2 ** 20)
  }
})
