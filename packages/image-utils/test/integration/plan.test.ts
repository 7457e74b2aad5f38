import { readdir } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  createImageUtils,
  type ImageService,
  type ImageUtils,
  NotSupportedOperationError,
} from '../../src/index.ts'
import {
  createWorkspace,
  makeBackedQcow2,
  makeFullDisk,
  makeLoopDevice,
  makeRawDisk,
  tool,
  type Workspace,
} from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
let raw: string
let imageUtils: ImageUtils
/** What was asked of the image service: the verb, and for a range its bytes. */
let asked: string[]

beforeEach(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 24 * MiB)
  asked = []
  const service = new Proxy(work.store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...words: unknown[]): unknown => {
        asked.push(name === 'readRange' ? `readRange ${String(words[2])} ${String(words[3])}` : String(name))
        return Reflect.apply(value, target, words)
      }
    },
  })
  imageUtils = createImageUtils(
    { imageService: service },
    { imageConversionDir: work.conversionDir, allowCompressionOnImageUpload: true },
  )
})
afterEach(() => work[Symbol.asyncDispose]())

async function add(format: string, containerFormat = 'bare', options: string[] = []): Promise<string> {
  const file = work.file(`image.${format}`)
  const driver = imageUtils.fixupDiskFormat(format)
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', driver, ...options, raw, file)
  if (containerFormat === 'compressed') await tool('gzip', '-1', '-f', file)
  const stored = containerFormat === 'compressed' ? `${file}.gz` : file
  return work.add(stored, { disk_format: format, container_format: containerFormat })
}

/** Plans, and sees to it that nothing but the record and the first MiB was asked for, and nothing written. */
async function plan(request: Parameters<ImageUtils['planImageToVolume']>[0]) {
  const before = await readdir(work.directory)
  const planned = await imageUtils.planImageToVolume(request)
  expect(await readdir(work.directory)).toEqual(before)
  expect(asked.filter((verb) => verb !== 'show')).toEqual([`readRange 0 ${MiB}`])
  return planned
}

describe('what would be done', () => {
  test('raw goes straight there', async () => {
    const volume = work.file('volume')
    const planned = await plan({ imageId: await add('raw'), volume, volumeSizeGiB: 1 })
    expect(planned).toMatchObject({
      format: 'raw',
      volumeFormat: 'raw',
      temporaryBytes: 0,
      volumeBytes: 24 * MiB,
      refusals: [],
    })
    expect(planned.steps.join('; ')).toMatch(/writing .* in the same pass; verify the hash/)
    expect(planned.freeVolumeBytes).toBeGreaterThan(MiB)
  })

  test.each([
    ['qcow2', 'bare', /decoding qcow2 onto .* in the same pass/],
    ['qcow2', 'compressed', /decompress.*decoding qcow2/],
    ['vmdk', 'bare', /decoding vmdk onto .* in the same pass; verify the hash/],
  ])('%s, %s', async (format, container, steps) => {
    const planned = await plan({ imageId: await add(format, container), volume: work.file('volume') })
    expect(planned).toMatchObject({ format, volumeBytes: 24 * MiB, refusals: [] })
    expect(planned.temporaryBytes).toBeGreaterThan(100_000)
    expect(planned.steps.join('; ')).toMatch(steps)
  })

  test.each(['bare', 'compressed'])('a qcow2 of many MiB too, %s', async (container) => {
    await makeFullDisk(raw, 24 * MiB)
    const planned = await plan({ imageId: await add('qcow2', container), volume: work.file('volume') })
    expect(planned).toMatchObject({ format: 'qcow2', volumeBytes: 24 * MiB, refusals: [] })
  })

  test('how large a VHDX is stands behind its first MiB', async () => {
    const planned = await plan({ imageId: await add('vhdx'), volume: work.file('volume') })
    expect(planned).toMatchObject({ format: 'vhdx', volumeBytes: undefined, refusals: [] })
  })

  test('what is laid out as raw first needs room for that too', async () => {
    const imageId = await add('vhd', 'bare', ['-o', 'force_size=on'])
    const planned = await plan({ imageId, volume: work.file('volume'), volumeFormat: 'qed' })
    expect(planned.temporaryBytes).toBeGreaterThan(24 * MiB)
  })
})

describe('what would be refused', () => {
  const rules = (refusals: readonly { readonly rule: string }[]): string[] => refusals.map(({ rule }) => rule)

  test('a wrong claim, with what would be right', async () => {
    const imageId = await work.add(raw, { disk_format: 'qcow2', container_format: 'bare' })
    const { refusals } = await plan({ imageId, volume: work.file('volume') })
    expect(refusals[0]?.reason).toContain("claimed to be 'qcow2'")
    await expect(imageUtils.imageToVolume({ imageId, volume: work.file('volume') })).rejects.toThrow(
      'claimed',
    )
  })

  test.each(['bare', 'compressed'])('a backing file, %s', async (container) => {
    const file = work.file('backed')
    await makeBackedQcow2(file, '/etc/passwd')
    if (container === 'compressed') await tool('gzip', file)
    const stored = container === 'bare' ? file : `${file}.gz`
    const imageId = await work.add(stored, { disk_format: 'qcow2', container_format: container })
    const { refusals } = await plan({ imageId, volume: work.file('volume') })
    expect(rules(refusals)).toEqual(['qcow2-backing-file'])
  })

  test('a gzip of an archive that holds more than the disk, by the rule that refuses the fetch', async () => {
    const folder = work.file('box')
    await tool('mkdir', folder)
    await tool('truncate', '-s', '64K', `${folder}/one.img`, `${folder}/two.img`)
    const file = work.file('box.tar.gz')
    await tool('tar', '-czf', file, '-C', folder, 'one.img', 'two.img')
    const imageId = await work.add(file, { disk_format: 'raw', container_format: 'compressed' })
    const request = { imageId, volume: work.file('volume') }
    const { refusals } = await plan(request)
    expect(rules(refusals)).toEqual(['archive-disks'])
    await expect(imageUtils.imageToVolume(request)).rejects.toMatchObject({ rule: 'archive-disks' })
  })

  test('a disk that is larger than the volume', async () => {
    const file = work.file('large')
    await tool('qemu-img', 'create', '-q', '-f', 'qcow2', file, '1025M')
    const imageId = await work.add(file, { disk_format: 'qcow2', container_format: 'bare' })
    const { refusals } = await plan({ imageId, volume: work.file('volume'), volumeSizeGiB: 1 })
    expect(refusals.map(({ reason }) => reason).join()).toContain("doesn't fit in a volume of size 1GB")
  })

  test('a raw disk that is larger than the volume, by its record', async () => {
    const size = 1025 * MiB
    const record = { id: 'large', status: 'active', disk_format: 'raw', size, properties: {} }
    const service: Pick<ImageService, 'readRange' | 'show'> = {
      show: async () => ({ ...record, container_format: 'bare' }),
      readRange: async (_context, _imageId, _offset, length) => new Uint8Array(length).fill(7),
    }
    const imageService = service as ImageService
    const request = { imageId: 'large', imageService, volume: work.file('volume'), volumeSizeGiB: 1 }
    const { refusals, volumeBytes } = await imageUtils.planImageToVolume(request)
    expect(volumeBytes).toBe(size)
    expect(refusals.map(({ reason }) => reason).join()).toContain("doesn't fit in a volume of size 1GB")
  })

  test('a device that is too small', async () => {
    const loop = await makeLoopDevice(work.file('device'), 16 * MiB)
    try {
      const { refusals } = await plan({ imageId: await add('qcow2'), volume: loop.device })
      expect(refusals).toMatchObject([{ rule: 'volume-space', found: `a device of ${16 * MiB} bytes` }])
    } finally {
      await loop.detach()
    }
  })

  test('a conversion that is switched off', async () => {
    imageUtils = createImageUtils(
      { imageService: imageUtils.imageService },
      { imageConversionDir: work.conversionDir, imageConversionDisable: true },
    )
    const { refusals } = await plan({ imageId: await add('qcow2'), volume: work.file('volume') })
    expect(refusals.map(({ reason }) => reason).join()).toContain('conversion is disabled')
  })

  test('no room for the download', async () => {
    const small = work.file('small')
    await tool('mkdir', small)
    await tool('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small)
    try {
      await makeFullDisk(raw, 4 * MiB)
      imageUtils = createImageUtils(
        { imageService: imageUtils.imageService },
        { imageConversionDir: `${small}/a/b` },
      )
      const { refusals } = await plan({ imageId: await add('qcow2'), volume: work.file('volume') })
      expect(rules(refusals)).toEqual(['temporary-space'])
    } finally {
      await tool('umount', small)
    }
  })

  test('keys that do not fit together are an error in the request', async () => {
    const request = { imageId: await add('raw'), volume: work.file('volume'), sourcePassphraseFile: '/key' }
    await expect(imageUtils.planImageToVolume(request)).rejects.toThrow(NotSupportedOperationError)
  })
})

test('a service that can read no range is asked for its record only', async () => {
  const service: Pick<ImageService, 'show'> = { show: (context, id) => work.store.show(context, id) }
  const imageService = service as ImageService
  const imageId = await add('qcow2')
  const planned = await imageUtils.planImageToVolume({ imageId, imageService, volume: work.file('volume') })
  expect(planned).toMatchObject({ format: undefined, volumeBytes: undefined, refusals: [] })
})
