import { createHash, randomBytes } from 'node:crypto'
import { execFile } from 'node:child_process'
import { mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { ImageService } from '@disk-image/core'
import { requireTool, type RunningGlance, startGlance } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createGlanceImageService,
  createImageUtils,
  type FoundImage,
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
  const volumeDescriptor = Buffer.alloc(2048)
  volumeDescriptor.write('\u0001CD001\u0001')
  const end = Buffer.concat([Buffer.alloc(2048 - 1, 255), Buffer.alloc(1)])
  end.write('CD001\u0001', 1)
  await writeFile(work.file('disk.iso'), Buffer.concat([Buffer.alloc(32_768), volumeDescriptor, end]))
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
  // Of which its ends say nothing.
  ['disk.iso', 'iso', undefined],
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

async function toolBytes(name: string, ...args: string[]): Promise<Buffer> {
  const options = { encoding: 'buffer', maxBuffer: 64 * MiB } as const
  return (await promisify(execFile)(requireTool(name), args, options)).stdout
}

function changed(bytes: Buffer): Buffer {
  bytes[bytes.length - 6] = (bytes.at(-6) ?? 0) ^ 1
  return bytes
}

async function layerHash(): Promise<string> {
  return createHash('sha256')
    .update(gzipSync(await readFile(work.file('layer.tar'))))
    .digest('hex')
}

/** Packs files into an archive, in this order. */
async function pack(name: string, ...members: string[]): Promise<string> {
  await tool('tar', '-C', work.directory, '-cf', work.file(name), ...members)
  return work.file(name)
}

/** An OCI image layout with one layer. */
async function writeLayout(name: string, layer: Uint8Array): Promise<string> {
  await mkdir(work.file(`${name}/blobs/sha256`), { recursive: true })
  const blob = async (mediaType: string, bytes: Uint8Array): Promise<object> => {
    const digest = createHash('sha256').update(bytes).digest('hex')
    await writeFile(work.file(`${name}/blobs/sha256/${digest}`), bytes)
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length }
  }
  const oci = 'application/vnd.oci.image'
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
  const config = await blob(`${oci}.config.v1+json`, json({ architecture: 'amd64', os: 'linux' }))
  const layers = [await blob(`${oci}.layer.v1.tar+gzip`, layer)]
  const mediaType = `${oci}.manifest.v1+json`
  const manifest = await blob(mediaType, json({ schemaVersion: 2, mediaType, config, layers }))
  await writeFile(work.file(`${name}/oci-layout`), json({ imageLayoutVersion: '1.0.0' }))
  await writeFile(work.file(`${name}/index.json`), json({ schemaVersion: 2, manifests: [manifest] }))
  return `oci:${work.file(name)}`
}

const descriptor = `<Envelope xmlns:ovf="o"><References><File ovf:id="a" ovf:href="disk.qcow2"/></References>
  <DiskSection><Disk ovf:diskId="a" ovf:fileRef="a" ovf:capacity="25165824"/></DiskSection>
  <VirtualSystem ovf:id="m"><Name>box</Name><OperatingSystemSection ovf:id="96"/></VirtualSystem></Envelope>`

async function wrap(as: string): Promise<string> {
  switch (as) {
    case 'xz':
    case 'bzip2':
    case 'gzip':
      await writeFile(work.file(as), await toolBytes(as, '-1', '-c', work.file('disk.qcow2')))
      return work.file(as)
    case 'zstd':
      await writeFile(work.file(as), zstdCompressSync(await readFile(work.file('disk.qcow2'))))
      return work.file(as)
    case 'ova':
      await writeFile(work.file('m.ovf'), descriptor)
      return pack('m.ova', 'm.ovf', 'disk.qcow2')
    default: {
      await mkdir(work.file('disk'), { recursive: true })
      await tool('cp', work.file('disk.qcow2'), work.file('disk/disk.qcow2'))
      return writeLayout('layout', gzipSync(await readFile(await pack('layer.tar', 'disk/disk.qcow2'))))
    }
  }
}

test.each([
  ['gzip', ['gzip'], undefined],
  ['zstd', ['zstd'], undefined],
  ['xz', ['xz'], undefined],
  ['bzip2', ['bzip2'], undefined],
  ['ova', ['tar'], 'disk.qcow2'],
  ['containerdisk', ['gzip', 'tar'], expect.stringContaining('disk.qcow2')],
])('what is wrapped as %s goes in as the disk that it holds', async (as, opened, disk) => {
  const word = await wrap(as)
  const checksums = [
    { algorithm: 'sha256', value: as === 'containerdisk' ? await layerHash() : await sha256(word) },
  ]
  let told: FoundImage | undefined
  const { imageId, ...report } = await imageUtils.sourceToImage({
    source: word,
    checksums,
    image: (found) => {
      told = found
      return service.create({}, { disk_format: found.diskFormat, container_format: found.containerFormat })
    },
  })
  expect(report).toMatchObject({ diskFormat: 'qcow2', containerFormat: 'bare', unwrapped: { opened, disk } })
  expect(report.verified).toEqual(expect.arrayContaining(checksums))
  expect(await service.show({}, imageId)).toMatchObject({ status: 'active', disk_format: 'qcow2' })
  expect(await hashOf(imageId)).toBe(await sha256(work.file('disk.qcow2')))
  expect(told?.suggested).toEqual(
    as === 'ova'
      ? { name: 'box', min_disk: 1, properties: { os_type: 'linux', os_distro: 'debian' } }
      : undefined,
  )
})

test('of an archive with several disks one is named, and what is wrapped is kept where that is asked for', async () => {
  const archive = await pack('two.tar', 'disk.raw', 'disk.qcow2')
  const [id = ''] = await send(archive, { disk: 'disk.qcow2' })
  expect(await hashOf(id)).toBe(await sha256(work.file('disk.qcow2')))
  const failed = await send(archive, { diskFormat: 'raw' }).catch((error: unknown) => error)
  expect(failed).toMatchObject({ rule: 'archive-disks', found: 'disk.raw, disk.qcow2' })
  await expectNoData((failed as { made: string[] }).made[0])
  await expect(send(archive, { disk: 'other' })).rejects.toMatchObject({ rule: 'archive-disks', made: [] })
  await expect(send(work.file('disk.raw'), { disk: 'disk.raw' })).rejects.toThrow('no archive')
  const options = { imageConversionDir: work.conversionDir, allowArchivesAsRaw: true }
  const keeping = createImageUtils({ imageService: service }, options)
  const { id: kept } = await service.create({}, { disk_format: 'raw', container_format: 'bare' })
  await keeping.sourceToImage({ source: archive, diskFormat: 'raw', image: { id: kept } })
  expect(await hashOf(kept)).toBe(await sha256(archive))
})

test.each([
  ['a bomb', () => zstdCompressSync(Buffer.alloc(256 * MiB)), { rule: 'decompressed-size' }],
  ['a cut one', () => gzipSync(randomBytes(3 * MiB)).subarray(0, -20), { rule: 'compressed-container' }],
  ['a cut one for the tool', async () => (await readFile(await wrap('xz'))).subarray(0, -20), {}],
  ['a changed one', () => changed(gzipSync(randomBytes(3 * MiB))), { rule: 'compressed-container' }],
  ['another', () => gzipSync(randomBytes(3 * MiB)), { code: 'IMAGE_DOWNLOAD_FAILED' }, 'ab'.repeat(32)],
] as const)('%s never makes an active image', async (_what, make, expected, wrong?: string) => {
  await writeFile(work.file('bad'), await make())
  const value = wrong ?? (await sha256(work.file('bad')))
  const failed = await send(work.file('bad'), { checksums: [{ algorithm: 'sha256', value }] }).catch(
    (error: unknown) => error,
  )
  expect(failed).toMatchObject({ ...expected, code: expect.any(String) })
  for (const id of (failed as { made: string[] }).made.slice(0, 1)) await expectNoData(id)
})

/** The same service, and the ids of what is made there. */
function counted(): { readonly service: ImageService; readonly made: string[] } {
  const made: string[] = []
  const create: ImageService['create'] = async (...words) => {
    const record = await service.create(...words)
    made.push(record.id)
    return record
  }
  const counting = new Proxy(service, {
    get: (target, name: keyof ImageService) => {
      const method: unknown = name === 'create' ? create : target[name]
      return typeof method === 'function' ? (method.bind(target) as unknown) : method
    },
  })
  return { made, service: counting }
}

async function expectGone(ids: readonly string[]): Promise<void> {
  for (const id of ids) await expect(service.show({}, id)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' })
}

test('a stream becomes an image of what is found, by one call', async () => {
  const bytes = await readFile(work.file('disk.qcow2'))
  const seen: number[] = []
  const { image, imageId, ...report } = await imageUtils.streamToImage({
    name: 'sent',
    body: new Blob([bytes]).stream(),
    sizeBytes: bytes.length,
    diskFormat: 'qcow2',
    metadata: { visibility: 'private', properties: { os_distro: 'debian' } },
    onProgress: ({ fraction = -1 }) => seen.push(fraction),
  })
  expect(image).toMatchObject({ name: 'sent', disk_format: 'qcow2', status: 'active', size: bytes.length })
  expect(image.properties).toMatchObject({ os_distro: 'debian' })
  expect(report).toMatchObject({ source: 'sent', diskFormat: 'qcow2', bytesUploaded: bytes.length })
  expect(await hashOf(imageId)).toBe(createHash('sha256').update(bytes).digest('hex'))
  expect(seen.at(-1)).toBe(1)
})

test.each([
  ['another format than was claimed', { diskFormat: 'qcow2' as const }, { code: 'IMAGE_UNACCEPTABLE' }],
  ['fewer bytes than were announced', { sizeBytes: 25 * MiB }, { code: 'IMAGE_DOWNLOAD_FAILED' }],
  ['more bytes than were announced', { sizeBytes: 23 * MiB }, { code: 'IMAGE_DOWNLOAD_FAILED' }],
  [
    'another checksum',
    { checksums: [{ algorithm: 'sha256', value: '0'.repeat(64) }] },
    { code: 'IMAGE_DOWNLOAD_FAILED' },
  ],
  ['no stream', { body: undefined as unknown as AsyncIterable<Uint8Array> }, { code: 'INVALID' }],
])('a stream with %s leaves no image', async (_what, more, error) => {
  const { service: imageService, made } = counted()
  const body = chunks(await readFile(work.file('disk.raw')))
  await expect(imageUtils.streamToImage({ name: 'sent', body, imageService, ...more })).rejects.toMatchObject(
    error,
  )
  await expectGone(made)
})

test.each([0, 4 * MiB])(
  'a stream that hangs after %d bytes is given up, and leaves no image',
  async (bytes) => {
    const { service: imageService, made } = counted()
    const hanging = Promise.withResolvers<void>()
    let ended = false
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        if (bytes > 0) yield new Uint8Array(bytes).fill(1)
        hanging.resolve()
        await new Promise(() => undefined)
      } finally {
        ended = true
      }
    }
    const reason = new Error('the client is gone')
    const controller = new AbortController()
    const sending = imageUtils.streamToImage({
      name: 'sent',
      body: body(),
      imageService,
      signal: controller.signal,
    })
    await hanging.promise
    controller.abort(reason)
    await expect(sending).rejects.toBe(reason)
    expect(ended).toBe(false)
    await expectGone(made)
  },
)

test('a stream that breaks is the reason, and leaves no image', async () => {
  const { service: imageService, made } = counted()
  const reason = new Error('cut')
  async function* body(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(2 * MiB).fill(1)
    throw reason
  }
  await expect(imageUtils.streamToImage({ name: 'sent', body: body(), imageService })).rejects.toSatisfy(
    (error: Error) => error === reason || error.cause === reason,
  )
  await expectGone(made)
})
