import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { ImageTooBigError } from '@disk-image/core'
import { requireTool } from '@disk-image/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildDisk, diskBytes, pattern } from '../../../vhd/test/helpers/build-vhd.ts'
import { createDirectoryImageService } from '../../src/directory/index.ts'
import { createImageUtils, type ImageService, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeFullDisk, makeLoopDevice, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
/** A file system of 4 MiB. */
let small: string
let raw: string

beforeEach(async () => {
  work = await createWorkspace()
  small = work.file('small')
  raw = work.file('disk.raw')
  await mkdir(small)
  await makeFullDisk(raw, 8 * MiB)
  execFileSync(requireTool('mount'), ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small])
})
afterEach(async () => {
  execFileSync(requireTool('umount', 'mount'), [small])
  await work[Symbol.asyncDispose]()
})

async function image(format: string, containerFormat = 'bare'): Promise<string> {
  const file = work.file(`image.${format}`)
  const exact = format === 'vpc' ? ['-o', 'force_size=on'] : []
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, ...exact, raw, file)
  const diskFormat = format === 'vpc' ? 'vhd' : format
  return work.add(file, { disk_format: diskFormat, container_format: containerFormat })
}

/** What is thrown where there is no room: the folder, what was needed, what was free. */
async function expectNoRoom(running: Promise<unknown>, folder: string, needed = true): Promise<void> {
  const error = await running.catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ImageTooBigError)
  const { message } = error as ImageTooBigError
  expect(message).toContain(folder)
  expect(message).toMatch(/free|available/)
  expect(message).toMatch(needed ? /[\d.]+ [KMG]iB needed|Requested: \d+/ : /no space|needed/)
}

describe('the volume has no room', () => {
  test.each(['raw', 'qcow2', 'vmdk', 'vpc'])('for %s', async (format) => {
    const imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir },
    )
    const imageId = await image(format)
    for (const volumeFormat of ['raw', 'qcow2', 'vhd'] as const) {
      const asked = imageUtils.imageToVolume({ imageId, volume: `${small}/volume`, volumeFormat })
      await expectNoRoom(asked, small)
      expect(await readdir(small)).toEqual([])
    }
    await expectNoRoom(imageUtils.fetch({}, undefined, imageId, `${small}/copy`), small)
    expect(await readdir(small)).toEqual([])
    expect(await work.leftovers()).toEqual([])
  })

  test('on a device', async () => {
    const imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir },
    )
    const { device, detach } = await makeLoopDevice(work.file('device'), 4 * MiB)
    try {
      for (const format of ['raw', 'qcow2', 'vmdk', 'vpc']) {
        const imageId = await image(format)
        for (const volumeFormat of ['raw', 'qcow2'] as const) {
          const asked = imageUtils.imageToVolume({ imageId, volume: device, volumeFormat })
          await expect(asked).rejects.toThrow(ImageTooBigError)
          await expect(asked).rejects.toThrow(`${device}, which has 4 MiB`)
        }
      }
    } finally {
      await detach()
    }
  })

  test('of a conversion', async () => {
    const imageUtils = createImageUtils({}, { imageConversionDir: work.conversionDir })
    const asked = imageUtils.convertImage(raw, `${small}/volume`, 'qcow2', {
      srcFormat: 'raw',
      runAsRoot: false,
    })
    await expectNoRoom(asked, small)
    expect(await readdir(small)).toEqual([])
  })
})

describe('the conversion folder has no room', () => {
  let imageUtils: ImageUtils
  beforeEach(() => {
    imageUtils = createImageUtils({ imageService: work.store }, { imageConversionDir: small })
  })
  /** The same image, of which the record doesn't say how long it is: no check before the download helps. */
  function unsized(): ImageService {
    return new Proxy(work.store, {
      get: (target, name) => {
        if (name === 'show') {
          return async (...words: Parameters<ImageService['show']>) => ({
            ...(await target.show(...words)),
            size: undefined,
          })
        }
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  }

  test('for qcow2, which needs some only where clusters have to wait', async () => {
    const imageId = await image('qcow2')
    const volume = work.file('volume')
    await expectNoRoom(imageUtils.imageToVolume({ imageId, volume }), small)
    await expectNoRoom(imageUtils.TemporaryImages.fetch(unsized(), {}, imageId), small)
    // Clusters that are compressed, and yet not small.
    const dense = Buffer.alloc(8 * MiB)
    for (let at = 0; at < dense.length; at += 65_536) randomFillSync(dense, at, 60_000)
    const [plain, compressed] = [work.file('dense'), work.file('compressed')]
    await writeFile(plain, dense)
    await tool('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', plain, compressed)
    const waiting = await work.add(compressed, { disk_format: 'qcow2', container_format: 'bare' })
    await expectNoRoom(imageUtils.imageToVolume({ imageId: waiting, volume, imageService: unsized() }), small)
    await expect(stat(volume)).rejects.toThrow('ENOENT')
    await imageUtils.imageToVolume({ imageId, volume, imageService: unsized() })
    await tool('cmp', raw, volume)
    expect(await readdir(small)).toEqual([])
  })

  test.each(['vmdk', 'vpc'])('for %s, which needs some only where its tables come last', async (format) => {
    const imageId = await image(format)
    const volume = work.file('volume')
    const imageService = unsized()
    await expectNoRoom(
      imageUtils.imageToVolume({ imageId, volume, imageService, volumeFormat: 'qcow2' }),
      small,
    )
    await expectNoRoom(imageUtils.TemporaryImages.fetch(imageService, {}, imageId), small)
    await expect(stat(volume)).rejects.toThrow('ENOENT')
    await imageUtils.imageToVolume({ imageId, volume, imageService })
    await tool('cmp', raw, volume)
    expect(await readdir(small)).toEqual([])
  })

  test('not for a fixed VHD, of which nothing ever waits', async () => {
    const file = work.file('fixed.vhd')
    await tool(
      'qemu-img',
      'convert',
      '-f',
      'raw',
      '-O',
      'vpc',
      '-o',
      'force_size=on,subformat=fixed',
      raw,
      file,
    )
    const imageId = await work.add(file, { disk_format: 'vhd', container_format: 'bare' })
    const volume = work.file('volume')
    await imageUtils.imageToVolume({ imageId, volume })
    await tool('cmp', raw, volume)
    expect(await readdir(small)).toEqual([])
  })

  test('for a XenServer archive', async () => {
    const disk = work.file('0.vhd')
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'vpc', '-o', 'force_size=on', raw, disk)
    const archive = work.file('archive')
    await tool('tar', '-czf', archive, '-C', work.directory, '0.vhd')
    const imageId = await work.add(archive, { disk_format: 'vhd', container_format: 'ovf' })
    const volume = work.file('volume')
    for (const imageService of [work.store, unsized()]) {
      const request = { imageId, volume, imageService, verifyBeforeWrite: true }
      await expectNoRoom(imageUtils.imageToVolume(request), small, false)
    }
    await expectNoRoom(imageUtils.replaceXenserverImageWithCoalescedVhd(archive), small, false)
    await mkdir(`${small}/target`)
    await expectNoRoom(imageUtils.extractTargz(archive, `${small}/target`), small, false)
    await tool('rm', '-r', `${small}/target`)
    await expect(stat(volume)).rejects.toThrow('ENOENT')
    expect(await readdir(small)).toEqual([])
    // In one pass nothing waits of a leaf, but a parent that comes before it.
    await imageUtils.imageToVolume({ imageId, volume })
    await tool('cmp', raw, volume)
    await tool('cp', disk, work.file('1.vhd'))
    await tool('tar', '-czf', archive, '-C', work.directory, '1.vhd', '0.vhd')
    const other = await work.add(archive, { disk_format: 'vhd', container_format: 'ovf' })
    await expectNoRoom(imageUtils.imageToVolume({ imageId: other, volume }), small, false)
    expect(await readdir(small)).toEqual([])
  })

  test.each([
    ['qcow2', 'bare'],
    ['qcow2', 'compressed'],
  ])('for an upload as %s, %s', async (diskFormat, containerFormat) => {
    imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: small, allowCompressionOnImageUpload: true },
    )
    const metadata = { disk_format: diskFormat, container_format: containerFormat }
    const created = await work.store.create({}, metadata)
    const asked = imageUtils.volumeToImage({ image: { ...metadata, id: created.id }, volume: raw })
    await expectNoRoom(asked, small, false)
    expect((await work.store.show({}, created.id)).status).toBe('queued')
    expect(await readdir(small)).toEqual([])
  })

  test.each([
    ['raw', 'compressed'],
    ['vhd', 'bare'],
  ])('and an upload as %s, %s, needs none', async (diskFormat, containerFormat) => {
    imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: small, allowCompressionOnImageUpload: true },
    )
    const metadata = { disk_format: diskFormat, container_format: containerFormat }
    const created = await work.store.create({}, metadata)
    await imageUtils.volumeToImage({ image: { ...metadata, id: created.id }, volume: raw })
    expect((await work.store.show({}, created.id)).status).toBe('active')
    expect(await readdir(small)).toEqual([])
  })
})

test('a folder of images has no room for an upload', async () => {
  const imageService = createDirectoryImageService({ directory: small })
  const imageUtils = createImageUtils({ imageService }, { imageConversionDir: work.conversionDir })
  const image = await imageService.create({}, { disk_format: 'raw', container_format: 'bare' })
  await expectNoRoom(imageUtils.uploadVolume({}, undefined, image, raw, { runAsRoot: false }), small)
  expect(await readdir(small)).toEqual([`${image.id}.json`])
})

test('the parent of a VHD has no room for what its child holds', async () => {
  const imageUtils = createImageUtils({}, { imageConversionDir: work.conversionDir })
  const [parent, child] = [`${small}/1.vhd`, work.file('0.vhd')]
  await tool('qemu-img', 'create', '-q', '-f', 'vpc', '-o', 'force_size=on', parent, '8M')
  const writes = [{ sector: 0, data: pattern('space', (8 * MiB) / 512) }]
  const plan = { type: 'differencing', sizeBytes: 8 * MiB, blockBytes: 2 * MiB, writes } as const
  await writeFile(child, diskBytes(buildDisk(plan)))
  await imageUtils.setVhdParent(child, parent)
  await expectNoRoom(imageUtils.coalesceVhd(child), small, false)
  await expectNoRoom(imageUtils.coalesceChain([child, parent]), small, false)
})
