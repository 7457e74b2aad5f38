import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import type { ImageService, Logger } from '@disk-image/core'
import { createProcessRunner } from '@disk-image/host'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils, type ImageUtilsOptions } from '../../src/index.ts'
import { createWorkspace, makeFullDisk, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024

let work: Workspace
let raw: string
let warned: string[]
/** Bytes that the image service has handed over. */
let handedOver: number
let counting: ImageService

beforeEach(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 3 * MiB)
  warned = []
  handedOver = 0
  const download: ImageService['download'] = (context, imageId, sink, options) =>
    work.store.download(
      context,
      imageId,
      {
        write: (chunk) => {
          handedOver += chunk.length
          return sink.write(chunk)
        },
      },
      options,
    )
  counting = new Proxy(work.store, {
    get(target, name) {
      if (name === 'download') return download
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

function make(
  options: ImageUtilsOptions = {},
  more: Parameters<typeof createImageUtils>[0] = {},
): ImageUtils {
  const ignore = (): void => undefined
  const logger: Logger = {
    debug: ignore,
    info: ignore,
    warn: (text) => void warned.push(text),
    error: ignore,
  }
  return createImageUtils(
    { imageService: counting, logger, ...more },
    { imageConversionDir: work.conversionDir, ...options },
  )
}

/** Puts an image into the folder store, and changes its record by hand. */
async function addWith(file: string, diskFormat: string, fields: Record<string, unknown>): Promise<string> {
  const id = await work.add(file, { disk_format: diskFormat, container_format: 'bare' })
  const record = `${work.directory}/store/${id}.json`
  const text = await readFile(record, 'utf8')
  await writeFile(record, JSON.stringify({ ...(JSON.parse(text) as object), ...fields }))
  return id
}

describe('a record whose hash no bytes can have', () => {
  test.each([
    { os_hash_value: 'badmultihashvalue' },
    { os_hash_value: '' },
    { os_hash_algo: 'unknown' },
    { os_hash_algo: null },
    { os_hash_algo: null, os_hash_value: null, checksum: 'wrong' },
    { os_hash_algo: null, os_hash_value: null, checksum: '' },
  ])('%j is an error before a byte is taken', async (fields) => {
    const imageUtils = make()
    const volume = work.file('volume')
    const imageId = await addWith(raw, 'raw', fields)
    for (const fetch of [
      () => imageUtils.imageToVolume({ imageId, volume }),
      () => imageUtils.fetch({}, undefined, imageId, volume),
      () => imageUtils.fetchVerifyImage({}, undefined, imageId, volume),
      () => imageUtils.TemporaryImages.fetch(counting, {}, imageId),
    ]) {
      await expect(fetch()).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
      expect(existsSync(volume)).toBe(false)
    }
    const { refusals } = await imageUtils.planImageToVolume({ imageId, volume })
    expect(refusals.map(({ rule }) => rule)).toEqual(['image-download-failed'])
    expect(handedOver).toBe(0)
    // Who wants no verification gets none.
    await imageUtils.imageToVolume({ imageId, volume, verify: 'none' })
    expect(await sha256(volume)).toBe(await sha256(raw))
    expect(warned).toEqual([])
  })
})

describe('a record without a hash', () => {
  const none = { os_hash_algo: null, os_hash_value: null, checksum: null }

  test('is told of in the report and in the log, by every fetch', async () => {
    const imageUtils = make()
    const volume = work.file('volume')
    const imageId = await addWith(raw, 'raw', none)
    const { warnings, hash } = await imageUtils.imageToVolume({ imageId, volume })
    expect(hash).toBeUndefined()
    expect(warnings).toEqual([expect.objectContaining({ rule: 'unverified', found: 'no hash' })])
    await imageUtils.fetch({}, undefined, imageId, volume)
    await imageUtils.fetchVerifyImage({}, undefined, imageId, volume)
    expect(warned).toEqual(Array.from({ length: 3 }, () => warnings[0]?.reason))
    await expect(imageUtils.imageToVolume({ imageId, volume, verify: 'strict' })).rejects.toThrow('verified')
  })

  test('a verified one has no warnings', async () => {
    const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
    const { warnings } = await make().imageToVolume({ imageId, volume: work.file('volume') })
    expect([warnings, warned]).toEqual([[], []])
  })
})

test('a signature that is no text is a wrong signature, not none', async () => {
  const imageUtils = make()
  for (const img_signature of [5, true, ['AAAA'], {}, '']) {
    const imageId = await addWith(raw, 'raw', { properties: { img_signature } })
    const volume = work.file('volume')
    await expect(imageUtils.imageToVolume({ imageId, volume })).rejects.toMatchObject({
      code: expect.stringMatching(/SIGNATURE/) as unknown,
    })
    expect(existsSync(volume)).toBe(false)
  }
  expect(handedOver).toBe(0)
})

test('a record whose size or format is none is refused', async () => {
  const volume = work.file('volume')
  for (const fields of [
    { size: 'abc' },
    { size: `${3 * MiB}` },
    { size: -1 },
    { size: 1.5 },
    { size: 1e300 },
    { size: {} },
    { disk_format: 5 },
    { disk_format: ['raw'] },
    { container_format: {} },
  ]) {
    const imageId = await addWith(raw, 'raw', fields)
    for (const act of [
      () => make().imageToVolume({ imageId, volume }),
      () => make().planImageToVolume({ imageId, volume }),
      () => make().fetchVerifyImage({}, undefined, imageId, volume),
    ]) {
      await expect(act()).rejects.toMatchObject({ code: 'INVALID' })
    }
    expect(existsSync(volume)).toBe(false)
  }
  expect(handedOver).toBe(0)
})

test('a record whose properties are none is refused, as its signature may be among them', async () => {
  for (const properties of ['img_signature', [], 5]) {
    const imageId = await addWith(raw, 'raw', { properties })
    const fetched = make().imageToVolume({ imageId, volume: work.file('volume') })
    await expect(fetched).rejects.toMatchObject({ code: 'INVALID' })
  }
})

test('a compressed image is refused unless the operator allows it, and the plan says so', async () => {
  await tool('gzip', '-k', raw)
  const imageId = await work.add(`${raw}.gz`, { disk_format: 'raw', container_format: 'compressed' })
  const volume = work.file('volume')
  const request = { imageId, volume }
  const imageUtils = make()
  for (const fetch of [
    () => imageUtils.imageToVolume(request),
    () => imageUtils.fetchToRaw({}, undefined, imageId, volume, '1M'),
    () => imageUtils.fetchToVhd({}, undefined, imageId, volume, '1M'),
    () => imageUtils.fetchToVolumeFormat({}, undefined, imageId, volume, 'qcow2', '1M'),
  ]) {
    await expect(fetch()).rejects.toMatchObject({
      code: 'IMAGE_UNACCEPTABLE',
      reason: 'Image compression disallowed, but container_format is compressed.',
    })
  }
  expect(handedOver).toBe(0)
  const { refusals } = await imageUtils.planImageToVolume(request)
  expect(refusals.map(({ rule }) => rule)).toContain('compression-disallowed')
  // What only stores the bytes doesn't decode them.
  await imageUtils.fetch({}, undefined, imageId, volume)
  expect(await sha256(volume)).toBe(await sha256(`${raw}.gz`))
  const allowing = make({ allowCompressionOnImageUpload: true })
  await allowing.imageToVolume(request)
  expect(await sha256(volume)).toBe(await sha256(raw))
  expect((await allowing.planImageToVolume(request)).refusals).toEqual([])
})

test('what the operating system fails with on the way is a failed download', async () => {
  const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const failure = Object.assign(new Error('EIO: i/o error, read'), {
    errno: -5,
    code: 'EIO',
    syscall: 'read',
  })
  const failing = new Proxy(work.store, {
    get(target, name) {
      if (name === 'download') return () => Promise.reject(failure)
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value
    },
  })
  const volume = work.file('volume')
  const imageUtils = make()
  for (const fetch of [
    () => imageUtils.fetch({}, failing, imageId, volume),
    () => imageUtils.fetchVerifyImage({}, failing, imageId, volume),
  ]) {
    await expect(fetch()).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED', cause: failure })
    expect(existsSync(volume)).toBe(false)
  }
})

describe('without qemu-img', () => {
  let imageUtils: ImageUtils
  beforeEach(async () => {
    const empty = work.file('empty-path')
    await mkdir(empty)
    const runner = createProcessRunner({ environment: { PATH: empty } })
    imageUtils = make({ allowCompressionOnImageUpload: true }, { runner })
    await makeFullDisk(raw, 3 * MiB)
  })

  async function convert(format: string): Promise<string> {
    const file = work.file(`image.${format}`)
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, raw, file)
    return file
  }

  test.each([
    ['vmdk', 'qcow', {}],
    ['vdi', 'raw', { throttle: { prefix: ['nice'] } }],
    ['raw', 'qed', {}],
    ['raw', 'vpc', { disableSparse: true }],
    ['qcow2', 'qcow2', { throttle: { prefix: ['nice'] } }],
    ['raw', 'raw', { throttle: { prefix: ['nice'] } }],
  ] as const)('%s → %s %j is refused before a byte is taken', async (format, volumeFormat, more) => {
    const imageId = await work.add(await convert(format), { disk_format: format, container_format: 'bare' })
    const volume = work.file('volume')
    const fetched = imageUtils.imageToVolume({ imageId, volume, volumeFormat, ...more })
    await expect(fetched).rejects.toMatchObject({ rule: 'qemu-img-installed', code: 'IMAGE_UNACCEPTABLE' })
    const { refusals } = await imageUtils.planImageToVolume({ imageId, volume, volumeFormat, ...more })
    expect(refusals.map(({ rule }) => rule)).toContain('qemu-img-installed')
    expect(handedOver).toBe(0)
    expect(existsSync(volume)).toBe(false)
  })

  test('an image that claims nothing is refused at its head', async () => {
    const image = await convert('vmdk')
    const imageId = await work.add(image, { disk_format: 'ami', container_format: 'ami' })
    // Cinder's functions ask qemu-img about it.
    const fetched = imageUtils.fetchToRaw({}, undefined, imageId, work.file('volume'))
    await expect(fetched).rejects.toMatchObject({ rule: 'qemu-img-installed' })
    expect(handedOver).toBeLessThanOrEqual(MiB)
  })

  test('an image that claims nothing is read for what it is, a bitmap of changes in it or not', async () => {
    const image = await convert('qcow2')
    await tool('qemu-img', 'bitmap', '--add', image, 'changes')
    const imageId = await work.add(image, { disk_format: 'ami', container_format: 'ami' })
    await imageUtils.imageToVolume({ imageId, volume: work.file('volume') })
    await tool('cmp', '-n', `${3 * MiB}`, raw, work.file('volume'))
  })

  test('what is kept for several volumes is refused before it is fetched', async () => {
    const imageId = await work.add(await convert('qcow2'), { disk_format: 'qcow2', container_format: 'bare' })
    const fetched = imageUtils.TemporaryImages.fetch(counting, {}, imageId)
    await expect(fetched).rejects.toMatchObject({ rule: 'qemu-img-installed' })
    expect(handedOver).toBe(0)
  })

  test.each(['raw', 'qcow2', 'vpc', 'vhdx', 'vmdk', 'vdi', 'parallels'])(
    '%s onto a raw volume needs none',
    async (format) => {
      const disk_format = { vpc: 'vhd', parallels: 'ploop' }[format] ?? format
      const imageId = await work.add(await convert(format), { disk_format, container_format: 'bare' })
      for (const more of [{}, { disableSparse: true }, { verifyBeforeWrite: true }]) {
        await imageUtils.imageToVolume({ imageId, volume: work.file('volume'), ...more })
        await tool('cmp', '-n', `${3 * MiB}`, raw, work.file('volume'))
      }
    },
  )
})
