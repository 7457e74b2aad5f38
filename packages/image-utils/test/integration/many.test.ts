import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link, mkdir, open, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startGlance, startNginx } from '@disk-image/testing'
import {
  createGlanceImageService,
  createImageUtils,
  type ImageService,
  type ImageUtils,
} from '../../src/index.ts'
import { createTransferQueue, identifyDestination, type Transfer } from '../../src/queue/index.ts'
import { createWorkspace, makeLoopDevice, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
let imageUtils: ImageUtils

beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils({}, { imageConversionDir: work.conversionDir })
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

/** A service that counts what is downloaded. */
function counting(service: ImageService): { service: ImageService; downloads: string[] } {
  const downloads: string[] = []
  const proxy = new Proxy(service, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...parameters: unknown[]): unknown => {
        if (name === 'download') downloads.push(String(parameters[1]))
        return value.apply(target, parameters) as unknown
      }
    },
  })
  return { service: proxy, downloads }
}

async function failures(transfers: readonly Transfer[]): Promise<unknown[]> {
  const outcomes = await Promise.all(transfers.map(({ outcome }) => outcome))
  return outcomes.flatMap((outcome) => (outcome.state === 'failed' ? [outcome.error] : []))
}

test('several destinations of one image: one download, each verified, the file gone afterwards', async () => {
  const raw = work.file('disk.raw')
  await makeRawDisk(raw, 8 * MiB)
  const qcow2 = work.file('disk.qcow2')
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2)
  const ids = [
    await work.add(raw, { disk_format: 'raw', container_format: 'bare' }),
    await work.add(qcow2, { disk_format: 'qcow2', container_format: 'bare' }),
  ]
  const { service, downloads } = counting(work.store)
  await using queue = createTransferQueue(
    { imageUtils, imageService: service },
    { jobs: 3, jobsPerDevice: 2 },
  )
  const progress: string[] = []
  const transfers = [0, 1, 2, 3].flatMap((copy) =>
    ids.map((imageId, index) =>
      queue.add({
        imageId,
        volume: work.file(`volume-${index}-${copy}`),
        onProgress: ({ stage }) => progress.push(`${index}${copy}${stage}`),
      }),
    ),
  )
  const summary = await queue.finished()
  expect(await failures(transfers)).toEqual([])
  expect(summary).toMatchObject({ done: 8, failed: 0, cancelled: 0 })
  expect(downloads.toSorted()).toEqual(ids.toSorted())
  const expected = await sha256(raw)
  let downloaded = 0
  for (const { request, outcome } of transfers) {
    expect(await sha256(request.volume)).toBe(expected)
    const result = await outcome
    if (result.state !== 'done') throw new Error(result.state)
    expect(result.report).toMatchObject({ shared: true, hash: { algorithm: 'sha512', verified: true } })
    if (result.report.bytesDownloaded > 0) downloaded += 1
  }
  expect(downloaded).toBe(2)
  expect(progress).toContain('00download')
})

test('a raw image that the budget has no room for goes to each volume directly', async () => {
  const raw = work.file('disk.raw')
  await makeRawDisk(raw, 8 * MiB)
  const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const { service, downloads } = counting(work.store)
  await using queue = createTransferQueue({ imageUtils, imageService: service }, { bytesInFlight: 33 * MiB })
  const transfers = ['a', 'b'].map((name) => queue.add({ imageId, volume: work.file(name) }))
  expect(await queue.finished()).toMatchObject({ done: 2 })
  expect(downloads).toHaveLength(2)
  for (const { request } of transfers) expect(await sha256(request.volume)).toBe(await sha256(raw))
})

test('each fails for itself: refused, missing, wrong hash, no room, a folder that is not there', async () => {
  const good = work.file('good.raw')
  await makeRawDisk(good, 4 * MiB)
  const goodId = await work.add(good, { disk_format: 'raw', container_format: 'bare' })
  const evil = work.file('evil.qcow2')
  await tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-u', '-b', '/etc/passwd', '-F', 'raw', evil, '64M')
  const evilId = await work.add(evil, { disk_format: 'qcow2', container_format: 'bare' })
  const wrongId = await work.add(good, { disk_format: 'raw', container_format: 'bare' })
  const handle = await open(work.file(`store/${wrongId}.data`), 'r+')
  await handle.write(randomBytes(100), 0, 100, 2 * MiB)
  await handle.close()
  const { service, downloads } = counting(work.store)
  await using queue = createTransferQueue({ imageUtils, imageService: service }, { jobs: 2 })
  const add = (imageId: string, name: string, more: object = {}): Transfer =>
    queue.add({ imageId, volume: work.file(name), ...more })
  const bad = [
    ...['e1', 'e2', 'e3'].map((name) => add(evilId, name)),
    add('11111111-2222-4333-8444-555555555555', 'missing'),
    add(wrongId, 'wrong'),
    add(goodId, 'nowhere/at/all'),
    add(goodId, 'small', { volumeSizeGiB: 0.001 }),
  ]
  const fine = ['g1', 'g2'].map((name) => add(goodId, name))
  expect(await queue.finished()).toMatchObject({ done: 2, failed: bad.length })
  const codes = (await failures(bad)).map((error) => (error as { code?: string }).code)
  expect(codes).toEqual([
    'IMAGE_UNACCEPTABLE',
    'IMAGE_UNACCEPTABLE',
    'IMAGE_UNACCEPTABLE',
    'IMAGE_NOT_FOUND',
    'IMAGE_DOWNLOAD_FAILED',
    'INVALID',
    'IMAGE_UNACCEPTABLE',
  ])
  // An image that is refused is not downloaded again for the next who wants it.
  expect(downloads.filter((id) => id === evilId)).toHaveLength(1)
  for (const { request } of bad) expect(existsSync(request.volume)).toBe(false)
  for (const { request } of fine) expect(await sha256(request.volume)).toBe(await sha256(good))
})

test('one is cancelled and the others who share its download go on; then all are', async () => {
  const raw = work.file('disk.raw')
  await makeRawDisk(raw, 64 * MiB)
  await using nginx = await startNginx({ images: [{ file: raw }], bytesPerSecond: 16 * MiB })
  await using service = createGlanceImageService({ endpoint: nginx.url }, { checkAvailability: false })
  const [{ id: imageId } = { id: '' }] = nginx.images
  const abort = new AbortController()
  const queue = createTransferQueue({ imageUtils, imageService: service }, { jobs: 3, signal: abort.signal })
  const began = Promise.withResolvers<void>()
  const first = queue.add({ imageId, volume: work.file('first'), onProgress: () => began.resolve() })
  const others = ['second', 'third'].map((name) => queue.add({ imageId, volume: work.file(name) }))
  await began.promise
  first.cancel('not me')
  expect(await first.outcome).toEqual({ state: 'cancelled', reason: 'not me' })
  expect(await readdir(work.conversionDir)).toHaveLength(1)
  expect(others.map(({ state }) => state)).toEqual(['running', 'running'])
  const started = performance.now()
  abort.abort('enough')
  expect(await queue.finished()).toMatchObject({ done: 0, failed: 0, cancelled: 3 })
  expect(performance.now() - started).toBeLessThan(1000)
  for (const { request } of [first, ...others]) expect(existsSync(request.volume)).toBe(false)
})

test('a real Glance that has half of the images: each that is there arrives', async () => {
  await using glance = await startGlance()
  await using service = createGlanceImageService(
    { endpoint: glance.url, retries: 0 },
    { checkAvailability: false },
  )
  const raw = work.file('disk.raw')
  await makeRawDisk(raw, 4 * MiB)
  const ids: string[] = []
  for (let index = 0; index < 6; index += 1) {
    const data = { size: 4 * MiB, open: () => readAll(raw) }
    const metadata = { name: 'disk', disk_format: 'raw', container_format: 'bare' }
    ids.push((await service.create({}, metadata, { data })).id)
  }
  // The record stays, the data is gone: Glance answers with an error in the middle of things.
  const stored = await tool('find', glance.directory, '-type', 'f', '-name', ids[1] ?? '')
  for (const file of stored.trim().split('\n')) await tool('rm', file)
  await service.delete({}, ids[3] ?? '')
  const queue = createTransferQueue({ imageUtils, imageService: service }, { jobs: 4 })
  const transfers = ids.map((imageId, index) => queue.add({ imageId, volume: work.file(`volume-${index}`) }))
  const foreign = queue.add({ imageId: 'no/such image', volume: work.file('foreign') })
  await queue.finished()
  const states = (await Promise.all(transfers.map(({ outcome }) => outcome))).map(({ state }) => state)
  expect(states).toEqual(['done', 'failed', 'done', 'failed', 'done', 'done'])
  expect((await foreign.outcome).state).toBe('failed')
  expect(await sha256(work.file('volume-5'))).toBe(await sha256(raw))
})

async function* readAll(file: string): AsyncGenerator<Uint8Array> {
  yield await readFile(file)
}

test('a destination is what it is, not what it is called', async () => {
  const file = work.file('disk')
  await writeFile(file, 'x')
  await symlink(file, work.file('link'))
  await link(file, work.file('hard'))
  await mkdir(work.file('folder'))
  await symlink(work.file('folder'), work.file('way'))
  const same = async (one: string, other: string): Promise<boolean> => {
    const [a, b] = [await identifyDestination(one), await identifyDestination(other)]
    return a.keys.some((key) => b.keys.includes(key))
  }
  expect(await same(file, work.file('link'))).toBe(true)
  expect(await same(file, work.file('hard'))).toBe(true)
  expect(await same(work.file('folder/new'), work.file('way/new'))).toBe(true)
  expect(await same(work.file('folder/new'), work.file('folder/newer'))).toBe(false)
  const [inside, there] = [
    await identifyDestination(file),
    await identifyDestination(work.file('folder/new')),
  ]
  expect(inside.device).toBe(there.device)
  expect((await identifyDestination('/proc/self/nothing')).device).not.toBe(inside.device)
  const loop = await makeLoopDevice(work.file('loop.img'), 4 * MiB)
  try {
    const [, name = ''] = /^\/dev\/(.*)$/.exec(loop.device) ?? []
    const number = (await readFile(`/sys/class/block/${name}/dev`, 'utf8')).trim()
    await symlink(loop.device, work.file('device'))
    expect(await same(loop.device, work.file('device'))).toBe(true)
    expect((await identifyDestination(loop.device)).device).toBe(number)
  } finally {
    await loop.detach()
  }
})
