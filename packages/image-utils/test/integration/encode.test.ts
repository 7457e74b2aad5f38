import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { setInterval } from 'node:timers'
import { createProcessRunner } from '@disk-image/host'
import { type WritableDiskFormat, MiB, toQemuFormat } from '@disk-image/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeRawDisk, tool, type Workspace } from './support.ts'

let work: Workspace
let imageUtils: ImageUtils
let raw: string

beforeEach(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 20 * MiB)
  const empty = work.file('empty-path')
  await mkdir(empty)
  // What runs here runs without qemu-img.
  const runner = createProcessRunner({ environment: { PATH: empty } })
  imageUtils = createImageUtils(
    { imageService: work.store, runner },
    { imageConversionDir: work.conversionDir, imageCompressOnUpload: true },
  )
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

/** Every format that is written in process, in each of its kinds. */
const targets: readonly (readonly [format: WritableDiskFormat, subformat: string])[] = [
  ['qcow2', ''],
  ['vmdk', ''],
  ['vmdk', 'monolithicSparse'],
  ['vmdk', 'streamOptimized'],
  ['vhd', ''],
  ['vhd', 'fixed'],
  ['vhdx', 'dynamic'],
  ['vdi', ''],
  ['vdi', 'fixed'],
  ['parallels', ''],
]

async function compare(file: string, format: string): Promise<void> {
  const driver = toQemuFormat(format)
  await tool('qemu-img', 'compare', '-f', 'raw', '-F', driver, raw, file)
  if (driver !== 'vpc') await tool('qemu-img', 'check', '-f', driver, file)
}

async function convert(format: string): Promise<string> {
  const file = work.file(`source.${format}`)
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, raw, file)
  return file
}

describe.each(targets)('%s %s', (format, subformat) => {
  test('from images of other formats, onto a new file and onto what is there', async () => {
    const volume = work.file('volume')
    for (const source of ['raw', 'qcow2', 'vhdx']) {
      const imageId = await work.add(source === 'raw' ? raw : await convert(source), {
        disk_format: source,
        container_format: 'bare',
      })
      const request = { imageId, volume, volumeFormat: format, volumeSubformat: subformat }
      const { needsQemuImg } = await imageUtils.planImageToVolume(request)
      expect(needsQemuImg).toBe(false)
      const report = await imageUtils.imageToVolume(request)
      expect(report).toMatchObject({ volumeFormat: format, virtualSizeBytes: 20 * MiB })
      await compare(volume, format)
      await writeFile(volume, Buffer.alloc(MiB, 'old'))
    }
  })

  test('larger than the disk that comes', async () => {
    const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
    const volume = work.file('volume')
    const more = { volumeFormat: format, volumeSubformat: subformat, volumeSizeGiB: 0.03125 }
    await imageUtils.imageToVolume({ imageId, volume, ...more })
    await tool('truncate', '-s', '32M', raw)
    await compare(volume, format)
  })

  test('from a file', async () => {
    for (const source of ['raw', 'qcow2', 'vdi'] as const) {
      const file = source === 'raw' ? raw : await convert(source)
      await imageUtils.convertImage(file, work.file('made'), format, {
        srcFormat: source,
        outSubformat: subformat,
        runAsRoot: false,
      })
      await compare(work.file('made'), format)
    }
  })

  test('as an image, without temporary space', async () => {
    await mkdir(work.conversionDir, { recursive: true })
    let most = 0
    const watch = setInterval(() => {
      void readdir(work.conversionDir).then((names) => (most = Math.max(most, names.length)))
    }, 1)
    const fields = { disk_format: format === 'vpc' ? 'vhd' : format, container_format: 'bare' }
    const { id } = await work.store.create({}, fields)
    const image = { id, ...fields }
    const report = await imageUtils.volumeToImage({
      image,
      volume: raw,
      diskSubformat: subformat,
      compression: 'none',
    })
    clearInterval(watch)
    expect(most).toBe(0)
    const stored = `${work.directory}/store/${id}.data`
    await compare(stored, format)
    expect(report.bytesUploaded).toBe((await stat(stored)).size)
    expect(report.image.status).toBe('active')
  })
})

test.each(['raw', 'qcow2'] as const)('a file of the format %s becomes a raw one, too', async (format) => {
  const source = format === 'raw' ? raw : await convert(format)
  const volume = work.file('volume')
  await imageUtils.convertImage(source, volume, 'raw', { srcFormat: format })
  await tool('cmp', raw, volume)
  // Onto what is there, too.
  await writeFile(volume, Buffer.alloc(30 * MiB, 7))
  await imageUtils.convertImage(source, volume, 'raw', { srcFormat: format })
  await tool('cmp', '-n', String(20 * MiB), raw, volume)
})

test('options are for the format that is written, and for who lays it out', async () => {
  const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const volume = work.file('volume')
  const formatOptions = { qcow2: { clusterSizeBytes: 131_072 } }
  await imageUtils.imageToVolume({ imageId, volume, volumeFormat: 'qcow2', formatOptions })
  await tool('qemu-img', 'check', '-f', 'qcow2', volume)
  const found = await tool('qemu-img', 'info', '-f', 'qcow2', volume)
  expect(JSON.stringify(found)).toContain('cluster_size: 131072')
  for (const [volumeFormat, reason] of [
    ['vmdk', 'options of qcow2, and vmdk is written'],
    ['raw', 'options of qcow2, and raw is written'],
  ] as const) {
    const asked = imageUtils.imageToVolume({ imageId, volume, volumeFormat, formatOptions })
    await expect(asked).rejects.toThrow(reason)
  }
  const level = { compressionLevel: 9 }
  const asked = imageUtils.imageToVolume({ imageId, volume, volumeFormat: 'raw', formatOptions: level })
  await expect(asked).rejects.toThrow('raw is not laid out in process')
})
