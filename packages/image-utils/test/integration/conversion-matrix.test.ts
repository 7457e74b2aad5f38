import { rm, stat, truncate, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
const sizeBytes = 32 * MiB

interface Source {
  readonly name: string
  readonly diskFormat: string
  /** qemu-img's name, where it makes the image. */
  readonly driver: string
  readonly options?: readonly string[]
  readonly container?: 'compressed' | 'ovf'
}

const exact = ['-o', 'force_size=on']
const sources: readonly Source[] = [
  { name: 'raw', diskFormat: 'raw', driver: 'raw' },
  { name: 'raw, gzip', diskFormat: 'raw', driver: 'raw', container: 'compressed' },
  { name: 'qcow2', diskFormat: 'qcow2', driver: 'qcow2' },
  { name: 'qcow2, zlib', diskFormat: 'qcow2', driver: 'qcow2', options: ['-c'] },
  {
    name: 'qcow2, zstd',
    diskFormat: 'qcow2',
    driver: 'qcow2',
    options: ['-c', '-o', 'compression_type=zstd'],
  },
  { name: 'vmdk', diskFormat: 'vmdk', driver: 'vmdk' },
  {
    name: 'vmdk, streamOptimized',
    diskFormat: 'vmdk',
    driver: 'vmdk',
    options: ['-o', 'subformat=streamOptimized'],
  },
  { name: 'vhd', diskFormat: 'vhd', driver: 'vpc', options: exact },
  { name: 'vhd, fixed', diskFormat: 'vhd', driver: 'vpc', options: ['-o', 'subformat=fixed,force_size=on'] },
  { name: 'vhd, XenServer archive', diskFormat: 'vhd', driver: 'vpc', options: exact, container: 'ovf' },
  { name: 'vhdx', diskFormat: 'vhdx', driver: 'vhdx' },
  { name: 'vdi', diskFormat: 'vdi', driver: 'vdi' },
  { name: 'parallels', diskFormat: 'ploop', driver: 'parallels' },
  { name: 'iso', diskFormat: 'iso', driver: 'raw' },
  { name: 'ami', diskFormat: 'ami', driver: 'raw' },
]
const targets = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'luks'] as const
/** What lives on a device; the other formats are files. */
const onDevices: ReadonlySet<string> = new Set(['raw', 'qcow2', 'luks'])

let work: Workspace
let imageUtils: ImageUtils
let raw: string
let rawHash: string
let device: string
let key: string

beforeAll(async () => {
  work = await createWorkspace()
  // Every format and target, inside the sandbox.
  const options = {
    imageConversionDir: work.conversionDir,
    sandbox: 'require',
    allowCompressionOnImageUpload: true,
  } as const
  imageUtils = createImageUtils({ imageService: work.store }, options)
  raw = work.file('disk.raw')
  key = work.file('key')
  await writeFile(key, 'secret')
  await makeRawDisk(raw, sizeBytes)
  rawHash = await sha256(raw)
  const backing = work.file('device')
  await tool('truncate', '-s', String(sizeBytes + 32 * MiB), backing)
  device = (await tool('losetup', '--find', '--show', backing)).trim()
})
afterAll(async () => {
  await tool('losetup', '--detach', device)
  await work[Symbol.asyncDispose]()
})

async function addImage(source: Source): Promise<string> {
  const image = work.file(source.container === 'ovf' ? '0.vhd' : 'image')
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', source.driver, ...(source.options ?? []), raw, image)
  let stored = image
  if (source.container === 'compressed') {
    await tool('gzip', '-1', '-f', image)
    stored = `${image}.gz`
  } else if (source.container === 'ovf') {
    stored = work.file('archive')
    await tool('tar', '-C', work.directory, '-czf', stored, '0.vhd')
  }
  const container = source.container ?? 'bare'
  const imageId = await work.add(stored, { disk_format: source.diskFormat, container_format: container })
  await rm(stored)
  return imageId
}

/** The disk that a volume holds, cut to the size of the source. */
async function hashOf(volume: string, format: string): Promise<string> {
  const copy = work.file('read-back')
  const driver = imageUtils.fixupDiskFormat(format)
  const secret = ['--object', `secret,id=key,file=${key}`, '--image-opts']
  const disk = `driver=luks,key-secret=key,file.filename=${volume}`
  const from = format === 'luks' ? [...secret, disk] : ['-f', driver, volume]
  await tool('qemu-img', 'convert', '-O', 'raw', ...from, copy)
  expect((await stat(copy)).size).toBeGreaterThanOrEqual(sizeBytes)
  await truncate(copy, sizeBytes)
  const hash = await sha256(copy)
  await rm(copy)
  return hash
}

test.each(sources)(
  '$name onto every format',
  async (source) => {
    const imageId = await addImage(source)
    for (const volumeFormat of targets) {
      for (const volume of onDevices.has(volumeFormat)
        ? [work.file('volume'), device]
        : [work.file('volume')]) {
        // Deriving keys takes seconds: in CI what comes from raw stands for all.
        if (volumeFormat === 'luks' && source.name !== 'raw') continue
        const keys = volumeFormat === 'luks' ? { passphraseFile: key, keyDerivationMs: 20 } : {}
        await imageUtils.imageToVolume({ imageId, volume, volumeFormat, ...keys })
        expect(await hashOf(volume, volumeFormat), `${source.name} to ${volumeFormat}`).toBe(rawHash)
        if (volume !== device) await rm(volume)
      }
    }
    await work.store.delete({}, imageId)
    expect(await work.leftovers()).toEqual([])
  },
  180_000,
)
