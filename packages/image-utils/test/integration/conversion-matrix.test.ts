import { stat } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
const sizeBytes = 32 * MiB
const sources = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'ploop', 'iso', 'ami'] as const
const targets = ['raw', 'qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi'] as const

let work: Workspace
let imageUtils: ImageUtils
let raw: string
let rawHash: string
let device: string
const rows: string[] = []

beforeAll(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils({ imageService: work.store }, { imageConversionDir: work.conversionDir })
  raw = work.file('disk.raw')
  await makeRawDisk(raw, sizeBytes)
  rawHash = await sha256(raw)
  const backing = work.file('device')
  await tool('truncate', '-s', String(64 * MiB), backing)
  device = (await tool('losetup', '--find', '--show', backing)).trim()
})
afterAll(async () => {
  await tool('losetup', '--detach', device)
  await work[Symbol.asyncDispose]()
  console.info(['| source | target | file | loop device |', '| --- | --- | --- | --- |', ...rows].join('\n'))
})

/** The disk that a volume holds, cut to the size of the source. */
async function hashOf(volume: string, format: string): Promise<string> {
  const copy = work.file('read-back')
  await tool('qemu-img', 'convert', '-f', imageUtils.fixupDiskFormat(format), '-O', 'raw', volume, copy)
  expect((await stat(copy)).size).toBeGreaterThanOrEqual(sizeBytes)
  await tool('truncate', '-s', String(sizeBytes), copy)
  return sha256(copy)
}

test.each(sources)(
  '%s onto every format',
  async (source) => {
    const driver = source === 'ami' ? 'raw' : imageUtils.fixupDiskFormat(source)
    const image = work.file(`image-${source}`)
    const exact = driver === 'vpc' ? ['-o', 'force_size=on'] : []
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', driver, ...exact, raw, image)
    const imageId = await work.add(image, { disk_format: source, container_format: 'bare' })
    for (const volumeFormat of targets) {
      const speeds: string[] = []
      for (const volume of [work.file(`volume-${source}-${volumeFormat}`), device]) {
        // What lives on a device is raw, qcow2 or a LUKS volume; the other formats are files.
        if (volume === device && !['raw', 'qcow2'].includes(volumeFormat)) {
          speeds.push('–')
          continue
        }
        const { seconds } = await imageUtils.imageToVolume({ imageId, volume, volumeFormat })
        expect(await hashOf(volume, volumeFormat), `${source} to ${volumeFormat}`).toBe(rawHash)
        speeds.push(`ok, ${Math.round(sizeBytes / MiB / Math.max(seconds.total, 0.001))} MiB/s`)
      }
      rows.push(`| ${source} | ${volumeFormat} | ${speeds.join(' | ')} |`)
    }
    expect(await work.leftovers()).toEqual([])
  },
  180_000,
)
