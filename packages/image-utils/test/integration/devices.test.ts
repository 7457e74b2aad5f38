import { open, readFile, stat } from 'node:fs/promises'
import { ImageDownloadFailedError, ImageTooBigError } from '@disk-image/core'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeLoopDevice, makeRawDisk, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
let imageUtils: ImageUtils
let raw: string
let loop: Awaited<ReturnType<typeof makeLoopDevice>>

beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils({ imageService: work.store }, { imageConversionDir: work.conversionDir })
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 24 * MiB)
  loop = await makeLoopDevice(work.file('device'), 32 * MiB)
})
afterEach(async () => {
  await loop.detach()
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

async function add(file: string, diskFormat: string): Promise<string> {
  return work.add(file, { disk_format: diskFormat, container_format: 'bare' })
}

async function read(file: string, offset: number, length: number): Promise<Buffer> {
  const handle = await open(file)
  try {
    const bytes = Buffer.alloc(length)
    await handle.read(bytes, 0, length, offset)
    return bytes
  } finally {
    await handle.close()
  }
}

test.each([
  ['raw', []],
  ['qcow2', []],
  ['qcow2', ['-c']],
  ['vmdk', []],
  ['vpc', ['-o', 'force_size=on']],
])('%s %j onto a device with old data: only the image is there', async (format, options) => {
  const image = format === 'raw' ? raw : work.file('image')
  if (format !== 'raw') await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, raw, image)
  const imageId = await add(image, format === 'vpc' ? 'vhd' : format)
  await imageUtils.imageToVolume({ imageId, volume: loop.device })
  const wanted = await readFile(raw)
  const found = await read(loop.device, 0, wanted.length)
  expect(found.equals(wanted)).toBe(true)
})

test('with disableSparse too', async () => {
  await imageUtils.imageToVolume({ imageId: await add(raw, 'raw'), volume: loop.device, disableSparse: true })
  const wanted = await readFile(raw)
  expect((await read(loop.device, 0, wanted.length)).equals(wanted)).toBe(true)
})

test('an image that is larger than the device is refused before anything is written', async () => {
  const large = work.file('large.raw')
  await makeRawDisk(large, 33 * MiB)
  const running = imageUtils.imageToVolume({ imageId: await add(large, 'raw'), volume: loop.device })
  await expect(running).rejects.toThrow(ImageTooBigError)
  expect((await read(loop.device, 0, MiB)).every((byte) => byte === 0xaa)).toBe(true)
})

test('after a wrong hash both ends of the device are zeroed', async () => {
  const imageId = await add(raw, 'raw')
  const data = `${work.directory}/store/${imageId}.data`
  const handle = await open(data, 'r+')
  await handle.write(Buffer.from('changed'), 0, 7, 20 * MiB)
  await handle.close()
  const error = await imageUtils
    .imageToVolume({ imageId, volume: loop.device })
    .catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ImageDownloadFailedError)
  expect((error as ImageDownloadFailedError).partial).toBe(true)
  for (const offset of [0, 31 * MiB]) {
    expect((await read(loop.device, offset, MiB)).every((byte) => byte === 0)).toBe(true)
  }
})

test('a device is uploaded whole, whatever its guest wrote there', async () => {
  const inside = work.file('inside.qcow2')
  await tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', '/etc/passwd', inside, '1M')
  await tool('dd', `if=${inside}`, `of=${loop.device}`, 'conv=notrunc', 'status=none')
  const { id } = await work.store.create({}, { disk_format: 'raw', container_format: 'bare' })
  const image = { id, disk_format: 'raw', container_format: 'bare' }
  const report = await imageUtils.volumeToImage({ image, volume: loop.device })
  expect(report.bytesUploaded).toBe(32 * MiB)
  const stored = `${work.directory}/store/${id}.data`
  expect((await stat(stored)).size).toBe(32 * MiB)
  expect((await readFile(stored)).equals(await read(loop.device, 0, 32 * MiB))).toBe(true)
})
