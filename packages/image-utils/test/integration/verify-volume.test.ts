import { createHash } from 'node:crypto'
import { copyFile, open, readFile, truncate, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createImageUtils, type DiskFormat, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeRawDisk, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024

let work: Workspace
let imageUtils: ImageUtils
let raw: string

beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils({ imageService: work.store }, { imageConversionDir: work.conversionDir })
  raw = work.file('disk.raw')
  await makeRawDisk(raw, 20 * MiB)
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

async function convert(format: string, file = work.file(`disk.${format}`)): Promise<string> {
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, raw, file)
  return file
}

async function spoil(file: string, offset: number): Promise<void> {
  await using handle = await open(file, 'r+')
  const byte = new Uint8Array(1)
  await handle.read(byte, 0, 1, offset)
  await handle.write(new Uint8Array([(byte[0] ?? 0) ^ 0xff]), 0, 1, offset)
}

const formats = ['raw', 'qcow2', 'vmdk', 'vpc', 'vhdx', 'vdi'] as const

test('disks of every format are compared by what is in them', async () => {
  for (const one of formats) {
    const source = one === 'raw' ? raw : await convert(one)
    for (const volumeFormat of ['raw', 'qcow2', 'vhdx'] as const) {
      const volume = volumeFormat === 'raw' ? raw : await convert(volumeFormat)
      const report = await imageUtils.verifyVolume({ source, volume, volumeFormat })
      expect(report).toMatchObject({
        identical: true,
        differsAt: undefined,
        volumeFormat,
        volumeBytes: 20 * MiB,
      })
    }
  }
})

test('an image of a service is downloaded, verified and compared, and nothing is written', async () => {
  for (const disk_format of ['raw', 'qcow2'] as const) {
    const file = disk_format === 'raw' ? raw : await convert(disk_format)
    const imageId = await work.add(file, { disk_format, container_format: 'bare' })
    const volume = work.file('volume')
    await copyFile(raw, volume)
    const before = await readFile(volume)
    expect(await imageUtils.verifyVolume({ imageId, volume, volumeFormat: 'raw' })).toMatchObject({
      imageId,
      identical: true,
      hash: { verified: true },
    })
    await spoil(volume, 7 * MiB + 3)
    const differing = await imageUtils.verifyVolume({ imageId, volume, volumeFormat: 'raw' })
    expect(differing).toMatchObject({ identical: false, differsAt: 7 * MiB + 3 })
    await spoil(volume, 7 * MiB + 3)
    expect((await readFile(volume)).equals(before)).toBe(true)
  }
})

test.each([0, 1, MiB - 1, 13 * MiB + 511, 20 * MiB - 1])(
  'a byte that differs at %d is found',
  async (offset) => {
    const volume = work.file('volume')
    await copyFile(raw, volume)
    await spoil(volume, offset)
    for (const source of [raw, await convert('qcow2')]) {
      const { identical, differsAt } = await imageUtils.verifyVolume({ source, volume, volumeFormat: 'raw' })
      expect({ identical, differsAt }).toEqual({ identical: false, differsAt: offset })
    }
  },
)

test('behind the end of the shorter disk the longer one must be zero', async () => {
  const longer = work.file('longer')
  await copyFile(raw, longer)
  await truncate(longer, 24 * MiB)
  const both = { source: raw, volume: longer, volumeFormat: 'raw' as const }
  const [into, outOf] = [both, { ...both, source: longer, volume: raw }]
  expect(await imageUtils.verifyVolume(into)).toMatchObject({
    identical: true,
    imageBytes: 20 * MiB,
    volumeBytes: 24 * MiB,
  })
  expect(await imageUtils.verifyVolume(outOf)).toMatchObject({ identical: true, imageBytes: 24 * MiB })
  await spoil(longer, 22 * MiB)
  for (const way of [into, outOf]) {
    expect(await imageUtils.verifyVolume(way)).toMatchObject({ identical: false, differsAt: 22 * MiB })
  }
})

test('a volume that is refused, an image that is, and a hash that is wrong are errors, not differences', async () => {
  const backed = work.file('backed.qcow2')
  await tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', raw, backed)
  const ways = [
    { source: raw, volume: backed, volumeFormat: 'qcow2' as DiskFormat },
    { source: backed, volume: raw, volumeFormat: 'raw' as DiskFormat },
    { source: raw, volume: await convert('qcow2'), volumeFormat: 'vmdk' as DiskFormat },
  ]
  for (const way of ways) {
    await expect(imageUtils.verifyVolume(way)).rejects.toMatchObject({ code: 'IMAGE_UNACCEPTABLE' })
  }
  const checksums = [{ algorithm: 'sha256', value: '0'.repeat(64) }]
  await expect(
    imageUtils.verifyVolume({ source: raw, volume: raw, volumeFormat: 'raw', checksums }),
  ).rejects.toMatchObject({ code: 'IMAGE_DOWNLOAD_FAILED' })
})

test('the content of a disk is compared with checksums, whatever format it is in', async () => {
  const bytes = await readFile(raw)
  const of = (algorithm: string, part: Uint8Array) => ({
    algorithm,
    value: createHash(algorithm).update(part).digest('hex'),
  })
  for (const format of formats) {
    const volume = format === 'raw' ? raw : await convert(format)
    const checksums = [of('sha256', bytes), of('md5', bytes)]
    expect(
      await imageUtils.verifyVolumeChecksums({
        volume,
        volumeFormat: format,
        checksums,
        sizeBytes: 20 * MiB,
      }),
    ).toMatchObject({
      identical: true,
      sizeBytes: 20 * MiB,
      found: checksums,
    })
  }
  const part = [of('sha512', bytes.subarray(0, 5 * MiB + 7))]
  const sizeBytes = 5 * MiB + 7
  expect(await imageUtils.verifyVolumeChecksums({ volume: raw, checksums: part, sizeBytes })).toMatchObject({
    identical: true,
  })
  expect(await imageUtils.verifyVolumeChecksums({ volume: raw, checksums: part })).toMatchObject({
    identical: false,
  })
  for (const wrong of [
    { checksums: [] },
    { checksums: part, sizeBytes: 21 * MiB },
    { checksums: part, sizeBytes: NaN },
  ]) {
    await expect(imageUtils.verifyVolumeChecksums({ volume: raw, ...wrong })).rejects.toMatchObject({
      code: 'INVALID',
    })
  }
})

test('zeros are cheap: a disk of 2 TiB with little in it takes no longer than what is in it', async () => {
  const [one, other] = [work.file('one.qcow2'), work.file('other.raw')]
  await tool('qemu-img', 'create', '-q', '-f', 'qcow2', one, '2T')
  await writeFile(other, '')
  await truncate(other, 2 * 1024 ** 4)
  const spots = [0, 1024 ** 4, 2 * 1024 ** 4 - MiB]
  // A qcow2 has its clusters in the order in which they were written; here the last comes first.
  for (const at of spots.toReversed()) await tool('qemu-io', '-f', 'qcow2', '-c', `write -P 5 ${at} 1M`, one)
  await using handle = await open(other, 'r+')
  for (const at of spots) await handle.write(new Uint8Array(MiB).fill(5), 0, MiB, at)
  expect(await imageUtils.verifyVolume({ source: one, volume: other, volumeFormat: 'raw' })).toMatchObject({
    identical: true,
    imageBytes: 2 * 1024 ** 4,
  })
})

test('who cancels is heard', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const verifying = imageUtils.verifyVolume({
    source: raw,
    volume: raw,
    volumeFormat: 'raw',
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  })
  await expect(verifying).rejects.toBe(reason)
})

test('a raw volume is raw, whatever its guest wrote there', async () => {
  const guest = await convert('qcow2')
  const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const volume = work.file('volume')
  await copyFile(guest, volume)
  const differing = await imageUtils.verifyVolume({ imageId, volume, volumeFormat: 'raw' })
  expect(differing).toMatchObject({ identical: false, volumeFormat: 'raw' })
  const checksums = [
    {
      algorithm: 'sha256',
      value: createHash('sha256')
        .update(await readFile(guest))
        .digest('hex'),
    },
  ]
  expect(await imageUtils.verifyVolumeChecksums({ volume, volumeFormat: 'raw', checksums })).toMatchObject({
    identical: true,
    volumeFormat: 'raw',
  })
})

test('a comparison is an operation of its own, with the progress of the whole', async () => {
  const operations: string[] = []
  const measured = createImageUtils(
    {
      imageService: work.store,
      telemetry: {
        operation: (name, _signal, run) => {
          operations.push(name)
          return run({ stage: (_stage, act) => act(), note: () => undefined })
        },
      },
    },
    { imageConversionDir: work.conversionDir },
  )
  const imageId = await work.add(raw, { disk_format: 'raw', container_format: 'bare' })
  const seen: (number | undefined)[] = []
  await measured.verifyVolume({
    imageId,
    volume: raw,
    volumeFormat: 'raw',
    onProgress: ({ fraction }) => seen.push(fraction),
  })
  expect(operations).toEqual(['verify'])
  expect(seen.at(-1)).toBe(1)
})
