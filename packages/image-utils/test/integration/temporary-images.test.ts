import { existsSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  createImageUtils,
  type ImageService,
  type ImageUtils,
  ImageUnacceptableError,
} from '../../src/index.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
let raw: string
let imageUtils: ImageUtils
let downloads: number
/** The store, counting what is downloaded. */
let service: ImageService

beforeEach(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 8 * MiB)
  downloads = 0
  const { store } = work
  service = new Proxy(store, {
    get: (target, name) => {
      if (name === 'download') downloads += 1
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  imageUtils = createImageUtils({ imageService: service }, { imageConversionDir: work.conversionDir })
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

const context = { userId: 'one' }

test('ten at once share one download, and the last to leave removes it', async () => {
  const id = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const { TemporaryImages } = imageUtils
  const handles = await Promise.all(
    Array.from({ length: 10 }, () => TemporaryImages.fetch(service, context, id)),
  )
  expect(downloads).toBe(1)
  const [first, ...others] = handles
  const file = first?.path ?? ''
  expect(new Set(handles.map(({ path }) => path))).toEqual(new Set([file]))
  expect(await sha256(file)).toBe(await sha256(raw))
  for (const handle of others) await handle[Symbol.asyncDispose]()
  expect(existsSync(file)).toBe(true)
  await first?.[Symbol.asyncDispose]()
  expect(existsSync(file)).toBe(false)
})

test('users don’t see each other’s', async () => {
  const id = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const { TemporaryImages } = imageUtils
  await using one = await TemporaryImages.fetch(service, context, id)
  await using two = await TemporaryImages.fetch(service, { userId: 'two' }, id)
  expect(one.path).not.toBe(two.path)
  const held = TemporaryImages.forImageService(service)
  expect(held.get({ userId: 'two' }, id)).toBe(two.path)
  expect(held.get({ userId: 'three' }, id)).toBeUndefined()
})

test('a volume is made from what is held, without another download', async () => {
  const image = work.file('image.qcow2')
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, image)
  const imageId = await work.add(image, { disk_format: 'qcow2', container_format: 'bare' })
  await using held = await imageUtils.TemporaryImages.fetch(service, context, imageId)
  const volume = work.file('volume')
  await imageUtils.imageToVolume({ context, imageId, volume })
  expect(await sha256(volume)).toBe(await sha256(raw))
  expect(downloads).toBe(1)
  expect(existsSync(held.path)).toBe(true)
})

test('one who gives up doesn’t end it for the others; the last one does', async () => {
  const id = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const { TemporaryImages } = imageUtils
  const abort = new AbortController()
  const reason = new Error('no more')
  const leaving = TemporaryImages.fetch(service, context, id, { signal: abort.signal })
  const staying = TemporaryImages.fetch(service, context, id)
  abort.abort(reason)
  await expect(leaving).rejects.toBe(reason)
  {
    await using handle = await staying
    expect(await sha256(handle.path)).toBe(await sha256(raw))
  }
  const alone = new AbortController()
  const only = TemporaryImages.fetch(service, context, id, { signal: alone.signal })
  alone.abort(reason)
  await expect(only).rejects.toBe(reason)
})

test('a refusal reaches everybody, and the next one starts anew', async () => {
  const id = await work.add(raw, { disk_format: 'qcow2', container_format: 'bare' })
  const { TemporaryImages } = imageUtils
  const asked = [1, 2, 3].map(() => TemporaryImages.fetch(service, context, id))
  for (const result of await Promise.allSettled(asked)) {
    expect(result).toMatchObject({
      status: 'rejected',
      reason: expect.any(ImageUnacceptableError) as unknown,
    })
  }
  await expect(TemporaryImages.fetch(service, context, id)).rejects.toThrow(ImageUnacceptableError)
  expect(downloads).toBe(2)
})
