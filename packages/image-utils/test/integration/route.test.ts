import { readdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { ProcessRunner } from '@disk-image/core'
import { createProcessRunner } from '@disk-image/host'
import { createSnapshot } from '@disk-image/vhd'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createImageUtils, type ImageToVolumeRequest } from '../../src/index.ts'
import { createWorkspace, makeFullDisk, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
const diskBytes = 8 * MiB
let work: Workspace
let raw: string

beforeAll(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeFullDisk(raw, diskBytes)
})
afterAll(() => work[Symbol.asyncDispose]())

type Options = Omit<ImageToVolumeRequest, 'imageId' | 'volume'>

const images: Readonly<Record<string, readonly string[]>> = {
  raw: ['raw'],
  qcow2: ['qcow2'],
  'qcow2 with a bitmap': ['qcow2'],
  vmdk: ['vmdk'],
  vhd: ['vpc', '-o', 'force_size=on'],
  'fixed vhd': ['vpc', '-o', 'force_size=on,subformat=fixed'],
  vhdx: ['vhdx'],
  vdi: ['vdi'],
  parallels: ['parallels'],
}
const names: Readonly<Record<string, string>> = { vpc: 'vhd', parallels: 'ploop' }

async function add(image: string, container: string): Promise<string> {
  const file = work.file(`${image.replaceAll(' ', '-')}-${container}`)
  if (container === 'xenserver') {
    const folder = `${file}.folder`
    await tool('mkdir', folder)
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', raw, `${folder}/1.vhd`)
    await createSnapshot(`${folder}/0.vhd`, `${folder}/1.vhd`)
    await tool('tar', '-czf', file, '-C', folder, '0.vhd', '1.vhd')
    return work.add(file, { disk_format: 'vhd', container_format: 'ovf' })
  }
  const [driver = '', ...options] = images[image] ?? []
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', driver, ...options, raw, file)
  if (image === 'qcow2 with a bitmap') await tool('qemu-img', 'bitmap', '--add', file, 'changes')
  const metadata = { disk_format: names[driver] ?? driver, container_format: 'bare' }
  if (container === 'none') return work.add(file, metadata)
  await tool('gzip', '-1', file)
  return work.add(`${file}.gz`, { ...metadata, container_format: 'compressed' })
}

async function sizeOf(directory: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(directory, { recursive: true }).catch(() => [])) {
    const found = await stat(path.join(directory, name)).catch(() => undefined)
    if (found?.isFile() === true) bytes += found.size
  }
  return bytes
}

/** The most bytes that were in a folder at once while something ran. */
async function mostIn<Result>(directory: string, run: () => Promise<Result>): Promise<[Result, number]> {
  const ended = new AbortController()
  const running = run().finally(() => ended.abort())
  running.catch(() => undefined)
  let most = 0
  while (!ended.signal.aborted) {
    most = Math.max(most, await sizeOf(directory))
    await setTimeout(1)
  }
  return [await running, most]
}

const ways: readonly (readonly [string, Options & { readonly isThere?: true }])[] = [
  ['as it is', {}],
  ['onto what is there', { isThere: true }],
  ['every byte', { disableSparse: true }],
  ['verified first', { verifyBeforeWrite: true }],
  ['a tool in front', { throttle: { prefix: ['nice'] } }],
  ['a tool in front, onto what is there', { throttle: { prefix: ['nice'] }, isThere: true }],
  ['larger', { volumeSizeGiB: 0.03125 }],
  ['qcow2', { volumeFormat: 'qcow2' }],
  ['qcow2, onto what is there', { volumeFormat: 'qcow2', isThere: true }],
  ['vhdx, larger', { volumeFormat: 'vhdx', volumeSizeGiB: 0.03125 }],
]

const sources = [
  ...Object.keys(images).map((image) => [image, 'none'] as const),
  ['raw', 'gzip'] as const,
  ['qcow2', 'gzip'] as const,
  ['vmdk', 'gzip'] as const,
  ['vhd', 'xenserver'] as const,
]

test.each(sources)('the run does what the plan says: %s, %s', async (image, container) => {
  const imageId = await add(image, container)
  const did: string[] = []
  const real = createProcessRunner()
  const runner: ProcessRunner = {
    run: (command, options) => {
      if (command.file === 'qemu-img' && command.args[0] !== '--version') did.push(command.args[0] ?? '')
      return real.run(command, options)
    },
  }
  const imageUtils = createImageUtils(
    { imageService: work.store, runner },
    { imageConversionDir: work.conversionDir, allowCompressionOnImageUpload: true },
  )
  for (const [way, { isThere, ...options }] of ways) {
    const volume = work.file(`${image}-${container}-${way}`)
    if (isThere === true) await writeFile(volume, 'old')
    const request = { imageId, volume, ...options }
    did.length = 0
    const plan = await imageUtils.planImageToVolume(request)
    expect([way, plan.refusals, did]).toEqual([way, [], []])
    const [report, most] = await mostIn(work.conversionDir, () => imageUtils.imageToVolume(request))
    const verbs = new Set(plan.steps.map((step) => step.split(' ')[0]))
    expect([way, did.length > 0]).toEqual([way, plan.needsQemuImg])
    expect([way, did.includes('info')]).toEqual([way, verbs.has('compare')])
    // What a container unpacks to is not known before, nor how large a disk is that its head doesn't tell of.
    const untold = container === 'none' ? (plan.volumeBytes === undefined ? 3 * diskBytes : 0) : Infinity
    expect([way, most <= plan.temporaryBytes + (plan.temporaryBytes === 0 ? 0 : untold)]).toEqual([way, true])
    // What is spooled whole is there whole; a decoder puts aside only what has to wait.
    expect([way, most > 0 || !verbs.has('convert')]).toEqual([way, true])
    expect([way, report.virtualSizeBytes]).toEqual([way, diskBytes])
    const driver = options.volumeFormat ?? 'raw'
    const compared = await tool('qemu-img', 'compare', '-f', 'raw', '-F', driver, raw, volume)
    expect([way, compared]).toEqual([way, expect.stringContaining('identical')])
  }
  expect(await work.leftovers()).toEqual([])
})
