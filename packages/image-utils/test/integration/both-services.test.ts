import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ImageError, type ImageService } from '@disk-image/core'
import { type RunningGlance, startGlance } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDirectoryImageService, createGlanceImageService } from '../../src/index.ts'

let folder: string
let glance: RunningGlance
let services: Readonly<Record<'glance' | 'folder', ImageService>>

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'both-services-'))
  glance = await startGlance()
  services = {
    glance: createGlanceImageService({ endpoint: glance.url }),
    folder: createDirectoryImageService({ directory: folder }),
  }
})
afterAll(async () => {
  await glance[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** The code of an error, or what was answered. */
async function outcome(act: () => Promise<unknown>): Promise<unknown> {
  try {
    return await act()
  } catch (error) {
    if (ImageError.is(error)) return error.code
    throw error
  }
}

/** What a caller sees of both services, one after the other. */
async function inBoth<Seen>(act: (service: ImageService) => Promise<Seen>): Promise<readonly [Seen, Seen]> {
  return [await act(services.glance), await act(services.folder)]
}

const made = { name: 'x', disk_format: 'raw', container_format: 'bare' } as const

/** The properties that a test gave; Glance adds its own. */
async function propertiesOf(service: ImageService, id: string): Promise<unknown> {
  const { properties } = await service.show({}, id)
  return Object.fromEntries(Object.entries(properties).filter(([name]) => /^(one|two|three)$/.test(name)))
}

test('properties go, come and stay alike', async () => {
  const [ofGlance, ofFolder] = await inBoth(async (service) => {
    const { id } = await service.create({}, { ...made, properties: { one: '1', two: '2' } })
    const seen: unknown[] = [await propertiesOf(service, id)]
    for (const [metadata, options] of [
      [{}, {}],
      [{ properties: { three: '3' } }, { purgeProperties: false }],
      [{}, { removeProperties: ['one', 'never there', 'status', 'name'] }],
      [{ properties: { one: 'I' } }, { purgeProperties: false, removeProperties: ['two'] }],
      [{ properties: { two: 'II' } }, {}],
      [{ name: 'y' }, { purgeProperties: false }],
      [{ name: 'z' }, {}],
    ] as const) {
      await service.update({}, id, metadata, options)
      seen.push(await propertiesOf(service, id), (await service.show({}, id)).name)
    }
    return seen
  })
  expect(ofFolder).toEqual(ofGlance)
  expect(ofGlance).toHaveLength(15)
})

test('what is wrong is wrong alike', async () => {
  const [ofGlance, ofFolder] = await inBoth(async (service) => {
    const { id } = await service.create({}, made)
    const seen: unknown[] = []
    for (const wrong of [
      { disk_format: 'foo' },
      { disk_format: 'RAW' },
      { disk_format: '' },
      { container_format: 'tar' },
      { container_format: 'BARE' },
    ]) {
      seen.push(await outcome(() => service.create({}, { ...made, ...wrong })))
      seen.push(await outcome(() => service.update({}, id, wrong)))
    }
    for (const none of ['', ' ', undefined, null, 7] as string[]) {
      for (const act of [
        () => service.show({}, none),
        () => service.delete({}, none),
        () => service.update({}, none, { name: 'y' }),
        () => service.download({}, none, { write: () => undefined }),
        () => service.getLocation({}, none),
        () => service.readRange?.({}, none, 0, 1) ?? Promise.resolve(),
      ]) {
        seen.push(await outcome(act))
      }
    }
    return seen
  })
  expect(ofFolder).toEqual(ofGlance)
  expect(new Set(ofGlance)).toEqual(new Set(['INVALID']))
})

test('an image without data is nowhere', async () => {
  const [ofGlance, ofFolder] = await inBoth(async (service) => {
    const { id } = await service.create({}, made)
    const { directUrl, locations } = await service.getLocation({}, id)
    return [directUrl, locations, await outcome(() => service.download({}, id, { write: () => undefined }))]
  })
  expect(ofFolder).toEqual(ofGlance)
  expect(ofGlance).toEqual([undefined, [], 'IMAGE_DOWNLOAD_FAILED'])
})

test('data are uploaded once', async () => {
  const source = (text: string) => ({
    size: text.length,
    open: async function* () {
      yield Buffer.from(text)
    },
  })
  const [ofGlance, ofFolder] = await inBoth(async (service) => {
    const { id } = await service.create({}, { ...made, properties: { one: '1' } })
    const { status, size } = await service.upload({}, id, source('disk'))
    const again = [
      await outcome(() => service.upload({}, id, source('other'))),
      await outcome(() => service.update({}, id, {}, { data: source('other') })),
    ].map((code) => typeof code === 'string')
    const read = await service.readRange?.({}, id, 0, 100)
    return [status, size, again, Buffer.from(read ?? []).toString(), await propertiesOf(service, id)]
  })
  expect(ofFolder).toEqual(ofGlance)
  expect(ofGlance).toEqual(['active', 4, [true, true], 'disk', { one: '1' }])
})
