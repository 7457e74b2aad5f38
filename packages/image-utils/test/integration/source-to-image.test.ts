import { createHash, randomBytes } from 'node:crypto'
import { open, readFile, truncate, writeFile } from 'node:fs/promises'
import type { ImageService } from '@disk-image/core'
import { type RunningGlance, startGlance } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createGlanceImageService,
  createImageUtils,
  type ImageUtils,
  type SourceToImageRequest,
} from '../../src/index.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let glance: RunningGlance
let service: ImageService
let work: Workspace
let imageUtils: ImageUtils

beforeAll(async () => {
  glance = await startGlance()
  service = createGlanceImageService({ endpoint: glance.url })
  work = await createWorkspace()
  imageUtils = createImageUtils({ imageService: service }, { imageConversionDir: work.conversionDir })
  await makeRawDisk(work.file('disk.raw'), 24 * MiB)
  await tool('qemu-img', 'convert', '-O', 'qcow2', work.file('disk.raw'), work.file('disk.qcow2'))
  await tool(
    'qemu-img',
    'convert',
    '-O',
    'vpc',
    '-o',
    'subformat=fixed',
    work.file('disk.raw'),
    work.file('fixed'),
  )
}, 120_000)
afterAll(async () => {
  expect(await work.leftovers()).toEqual([])
  await glance.stop()
  await work[Symbol.asyncDispose]()
})

/** Makes the image when it is known what it is, as a caller does. */
function send(word: string, more: Partial<SourceToImageRequest> = {}): Promise<string[]> {
  const made: string[] = []
  const image = async ({ diskFormat: disk_format }: { readonly diskFormat: string }) => {
    const record = await service.create({}, { disk_format, container_format: 'bare' })
    made.push(record.id, disk_format)
    return record
  }
  return imageUtils.sourceToImage({ source: word, image, ...more }).then(
    () => made,
    (error: unknown) => {
      throw Object.assign(error as Error, { made })
    },
  )
}

async function* chunks(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

/** Glance takes a moment to see that a connection has ended. */
async function expectNoData(id: string = ''): Promise<void> {
  await expect
    .poll(() => service.show({}, id), { timeout: 10_000 })
    .toMatchObject({ status: 'queued', size: null })
}

async function hashOf(id: string): Promise<string> {
  const hash = createHash('sha256')
  await service.download({}, id, { write: (chunk) => void hash.update(chunk) })
  return hash.digest('hex')
}

test.each([
  ['disk.raw', 'raw', undefined],
  ['disk.qcow2', 'qcow2', undefined],
  ['disk.qcow2', 'qcow2', 'qcow2'],
  ['fixed', 'vhd', 'vhd'],
])('%s goes into Glance as %s in one pass (given: %s)', async (name, expected, diskFormat) => {
  const value = await sha256(work.file(name))
  const [id = '', format] = await send(work.file(name), {
    diskFormat,
    checksums: [{ algorithm: 'sha256', value }],
  })
  expect(format).toBe(expected)
  expect(await service.show({}, id)).toMatchObject({ status: 'active', disk_format: expected })
  expect(await hashOf(id)).toBe(value)
})

test.each([0, 1, 4096, 4097, 70_000])(
  'a stream of %i bytes, of which nothing but its bytes is known',
  async (size) => {
    const bytes = randomBytes(size)
    const source = await imageUtils.openSource('-', {
      standardInput: () => chunks(bytes.subarray(0, 10), bytes.subarray(10)),
      diskFormat: 'raw',
    })
    const [id = ''] = await send('', { source })
    expect(await service.show({}, id)).toMatchObject({ status: 'active', size })
    expect(await hashOf(id)).toBe(createHash('sha256').update(bytes).digest('hex'))
  },
)

test('from one Glance into the same by the name of an image', async () => {
  const data = await readFile(work.file('disk.qcow2'))
  await service.create(
    {},
    { name: 'the-disk', disk_format: 'qcow2', container_format: 'bare' },
    { data: { open: () => chunks(data), size: data.length } },
  )
  const [id = '', format] = await send('the-disk')
  expect(format).toBe('qcow2')
  expect(await hashOf(id)).toBe(await sha256(work.file('disk.qcow2')))
})

test('what its head tells is refused before an image is made', async () => {
  await writeFile(work.file('page'), '<html>no disk at all</html>'.padEnd(70_000))
  await expect(send(work.file('page'), { diskFormat: 'qcow2' })).rejects.toMatchObject({
    rule: 'format-mismatch',
    made: [],
  })
})

test('what only its end tells leaves the image without data', async () => {
  // Raw at its head, and a VHD by its footer.
  const late = await send(work.file('fixed')).catch((error: unknown) => error)
  expect(late).toMatchObject({ code: 'IMAGE_UNACCEPTABLE', made: [expect.any(String), 'raw'] })
  const wrong = { algorithm: 'sha256', value: 'ab'.repeat(32) }
  const other = await send(work.file('disk.raw'), { checksums: [wrong] }).catch((error: unknown) => error)
  expect(other).toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
  for (const { made } of [late, other] as { made: string[] }[]) {
    await expectNoData(made[0])
  }
})

test('a source that breaks, and one that is cut, leave the image without data', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(MiB)
    yield randomBytes(MiB)
    throw new Error('the pipe broke')
  }
  const source = await imageUtils.openSource('-', { standardInput: broken, diskFormat: 'raw' })
  const failed = await send('', { source }).catch((error: unknown) => error)
  expect(failed).toMatchObject({ message: 'the pipe broke', made: [expect.any(String), 'raw'] })
  await expectNoData((failed as { made: string[] }).made[0])
  await writeFile(work.file('shrinks'), randomBytes(2 * MiB))
  const shrinking = await imageUtils.openSource(work.file('shrinks'), { diskFormat: 'raw' })
  await truncate(work.file('shrinks'), MiB)
  await expect(send('', { source: shrinking })).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
  await shrinking.close()
})

test('an image that has data already is left alone', async () => {
  const [id = ''] = await send(work.file('disk.qcow2'))
  await expect(send(work.file('disk.raw'), { image: { id } })).rejects.toThrow(/data|status/)
  expect(await hashOf(id)).toBe(await sha256(work.file('disk.qcow2')))
})

test('a file is read as it was when it was opened, whatever has its name later', async () => {
  await writeFile(work.file('moving'), randomBytes(MiB))
  const value = await sha256(work.file('moving'))
  await using source = await imageUtils.openSource(work.file('moving'))
  await tool('mv', work.file('moving'), work.file('moved'))
  await writeFile(work.file('moving'), 'another')
  await using appended = await open(work.file('moved'), 'a')
  await appended.write('more')
  const report = await imageUtils.imageToVolume({ source, volume: work.file('volume') })
  expect(report).toMatchObject({
    hash: { algorithm: 'sha256', value, verified: false },
    warnings: [{ rule: 'unverified' }],
  })
})
