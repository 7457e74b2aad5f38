import { open, readFile, writeFile } from 'node:fs/promises'
import { ImageConversionNotAllowedError, ImageUnacceptableError, InvalidError } from '../../src/index.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils, type ImageUtilsOptions } from '../../src/index.ts'
import {
  createWorkspace,
  makeBackedQcow2,
  makeFlatDescriptor,
  makeRawDisk,
  sha256,
  tool,
  type Workspace,
} from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
let imageUtils: ImageUtils
let volume: string

function make(options: ImageUtilsOptions = {}): ImageUtils {
  return createImageUtils(
    { imageService: work.store },
    { imageConversionDir: work.conversionDir, ...options },
  )
}

beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = make()
  volume = work.file('volume')
  await makeRawDisk(volume, 24 * MiB)
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

async function queued(diskFormat: string, containerFormat = 'bare') {
  const fields = { disk_format: diskFormat, container_format: containerFormat }
  const { id } = await work.store.create({}, fields)
  return { id, ...fields }
}

const stored = (id: string): string => `${work.directory}/store/${id}.data`

test('raw is uploaded as it is, and the record has its size and hash', async () => {
  const image = await queued('raw')
  const report = await imageUtils.volumeToImage({ image, volume })
  expect(report.bytesUploaded).toBe(24 * MiB)
  expect(report.image).toMatchObject({ status: 'active', size: 24 * MiB, os_hash_algo: 'sha512' })
  expect(await sha256(stored(image.id))).toBe(await sha256(volume))
})

test('uploadVolume takes an open handle, reads it from its start and leaves it open', async () => {
  const image = await queued('raw')
  const volumeFd = await open(volume)
  try {
    await volumeFd.read(Buffer.alloc(10), 0, 10)
    await imageUtils.uploadVolume({}, undefined, image, volume, { volumeFd })
    expect((await volumeFd.stat()).size).toBe(24 * MiB)
  } finally {
    await volumeFd.close()
  }
  expect(await sha256(stored(image.id))).toBe(await sha256(volume))
})

test.each(['qcow2', 'vmdk', 'vhdx', 'vdi', 'vhd'])('as %s it holds the same disk', async (diskFormat) => {
  const image = await queued(diskFormat)
  await imageUtils.volumeToImage({ image, volume })
  const format = imageUtils.fixupDiskFormat(diskFormat)
  await tool('qemu-img', 'compare', '-f', 'raw', '-F', format, volume, stored(image.id))
})

test('zlib is the default of a qcow2, zstd and none can be had', async () => {
  const types: unknown[] = []
  for (const compression of [undefined, 'zstd', 'none'] as const) {
    const image = await queued('qcow2')
    await imageUtils.volumeToImage({ image, volume, compression })
    const info = await imageUtils.qemuImgInfo(stored(image.id), { imgFormat: 'qcow2' })
    types.push(info.formatSpecific?.data['compression-type'])
    await tool('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', volume, stored(image.id))
  }
  expect(types).toEqual(['zlib', 'zstd', 'zlib'])
})

test('a compressed container is gzip, where it is allowed', async () => {
  const image = await queued('raw', 'compressed')
  await expect(imageUtils.volumeToImage({ image, volume })).rejects.toThrow(/allowCompressionOnImageUpload/)
  imageUtils = make({ allowCompressionOnImageUpload: true })
  await imageUtils.volumeToImage({ image, volume })
  await writeFile(work.file('packed.gz'), await readFile(stored(image.id)))
  await tool('gunzip', work.file('packed.gz'))
  expect(await sha256(work.file('packed'))).toBe(await sha256(volume))
  const again = work.file('again')
  await imageUtils.imageToVolume({ imageId: image.id, volume: again })
  expect(await sha256(again)).toBe(await sha256(volume))
})

test.each(['qcow2', 'vmdk', 'raw', 'iso'])(
  'what a guest wrote into a raw volume stays its bytes, as %s',
  async (diskFormat) => {
    await makeFlatDescriptor(volume, '/etc/passwd')
    const image = await queued(diskFormat)
    await imageUtils.volumeToImage({ image, volume })
    const bytes = Buffer.concat([await readFile(volume), Buffer.alloc(512)]).subarray(0, 512)
    const back = work.file('back')
    await tool(
      'qemu-img',
      'convert',
      '-f',
      imageUtils.fixupDiskFormat(diskFormat),
      '-O',
      'raw',
      stored(image.id),
      back,
    )
    expect((await readFile(back)).subarray(0, 512).equals(bytes)).toBe(true)
  },
)

test('a qcow2 volume with a backing file is refused', async () => {
  await makeBackedQcow2(volume, '/etc/passwd')
  for (const diskFormat of ['raw', 'qcow2']) {
    const image = await queued(diskFormat)
    const running = imageUtils.volumeToImage({ image, volume, volumeFormat: 'qcow2' })
    await expect(running).rejects.toThrow(ImageUnacceptableError)
  }
})

test('a volume that is not what its record says is refused', async () => {
  const running = imageUtils.volumeToImage({ image: await queued('raw'), volume, volumeFormat: 'qcow2' })
  await expect(running).rejects.toThrow(/claimed to be 'qcow2'/)
})

test('conversion can be switched off', async () => {
  imageUtils = make({ imageConversionDisable: true })
  const running = imageUtils.volumeToImage({ image: await queued('qcow2'), volume })
  await expect(running).rejects.toThrow(ImageConversionNotAllowedError)
  await imageUtils.volumeToImage({ image: await queued('raw'), volume })
})

test('an image that has data already is not overwritten', async () => {
  const image = await queued('raw')
  await imageUtils.volumeToImage({ image, volume })
  await expect(imageUtils.volumeToImage({ image, volume })).rejects.toThrow(InvalidError)
})

test('an abort leaves the image without data', async () => {
  const image = await queued('qcow2')
  const abort = new AbortController()
  const reason = new Error('changed my mind')
  const running = imageUtils.volumeToImage({
    image,
    volume,
    signal: abort.signal,
    onProgress: () => abort.abort(reason),
  })
  await expect(running).rejects.toBe(reason)
  expect((await work.store.show({}, image.id)).status).toBe('queued')
})
