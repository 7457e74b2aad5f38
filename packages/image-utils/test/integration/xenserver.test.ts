import { readFile, stat, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildDisk, diskBytes, type DiskPlan, pattern } from '../../../vhd/test/helpers/build-vhd.ts'
import { chainView } from '../../../vhd/test/helpers/model.ts'
import { tar, type TarEntry, targz } from '../../../vhd/test/helpers/tar.ts'
import { createImageUtils, ImageError, type ImageUtils, InvalidError } from '../../src/index.ts'
import { createWorkspace, tool, type Workspace } from './support.ts'

const uuid = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-${digit.repeat(12)}`

function plan(type: DiskPlan['type'], name: string, parent?: string): DiskPlan {
  return {
    type,
    sizeBytes: 2 ** 20,
    blockBytes: 65_536,
    uniqueId: uuid(name),
    ...(parent === undefined ? {} : { parentUniqueId: uuid(parent) }),
    writes: [{ sector: Number.parseInt(name, 16) * 100, data: pattern(name, 40) }],
  }
}

/** Leaf first. */
const plans = [plan('differencing', 'a', 'b'), plan('differencing', 'b', 'c'), plan('dynamic', 'c')]
const disks = plans.map((disk) => diskBytes(buildDisk(disk)))
const view = chainView(plans)
const good: TarEntry[] = disks.map((data, index) => ({ name: `./${index}.vhd`, data }))

let work: Workspace
let imageUtils: ImageUtils

beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils({ imageService: work.store }, { imageConversionDir: work.conversionDir })
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

async function add(archive: Uint8Array): Promise<string> {
  const file = work.file('archive')
  await writeFile(file, archive)
  return work.add(file, { disk_format: 'vhd', container_format: 'ovf' })
}

describe('an archive with a chain', () => {
  test('becomes a raw volume', async () => {
    const volume = work.file('volume')
    await imageUtils.fetchToRaw({}, undefined, await add(targz(good)), volume, '1M', { size: 1 })
    expect((await readFile(volume)).equals(view)).toBe(true)
  })

  test.each(['fixed', undefined])('becomes a VHD, %s', async (volumeSubformat) => {
    const volume = work.file('volume')
    await imageUtils.fetchToVhd({}, undefined, await add(targz(good)), volume, '1M', { volumeSubformat })
    const raw = work.file('raw')
    await tool('qemu-img', 'convert', '-f', 'vpc', '-O', 'raw', volume, raw)
    expect((await readFile(raw)).subarray(0, view.length).equals(view)).toBe(true)
  })

  test('becomes a qcow2', async () => {
    const volume = work.file('volume')
    await imageUtils.fetchToVolumeFormat({}, undefined, await add(targz(good)), volume, 'qcow2', '1M')
    const raw = work.file('raw')
    await tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', volume, raw)
    expect((await readFile(raw)).equals(view)).toBe(true)
  })

  test('is replaced by its coalesced VHD', async () => {
    const file = work.file('image')
    await writeFile(file, targz(good))
    await imageUtils.replaceXenserverImageWithCoalescedVhd(file)
    const imageId = await work.add(file, { disk_format: 'vhd', container_format: 'bare' })
    const volume = work.file('volume')
    await imageUtils.fetchToRaw({}, undefined, imageId, volume)
    expect((await readFile(volume)).equals(view)).toBe(true)
  })

  test('is too large for a smaller volume', async () => {
    const large = targz([
      {
        name: '0.vhd',
        data: diskBytes(buildDisk({ ...plan('dynamic', 'd'), sizeBytes: 3 * 2 ** 30, blockBytes: 2 ** 21 })),
      },
    ])
    const asked = imageUtils.fetchToRaw({}, undefined, await add(large), work.file('volume'), '1M', {
      size: 2,
    })
    await expect(asked).rejects.toThrow("doesn't fit in a volume of size 2GB")
  })
})

describe('onto a raw volume', () => {
  test.each([
    ['gzip', targz(good)],
    ['plain', tar(good)],
  ])('it is decoded while it comes, leaf first, without a temporary file: %s', async (_name, archive) => {
    const nowhere = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.file('not-there') },
    )
    const request = { imageId: await add(archive), volume: work.file('volume') }
    expect((await nowhere.imageToVolume(request)).bytesWritten).toBe(3 * 40 * 512)
    expect((await readFile(request.volume)).equals(view)).toBe(true)
  })

  test.each([
    ['in another order', { disableSparse: false }, good.toReversed()],
    ['with every byte', { disableSparse: true }, good],
    ['with every byte, in another order', { disableSparse: true }, [2, 0, 1].map((at) => good[at] ?? {})],
    ['verified before', { verifyBeforeWrite: true }, good],
  ] as const)('over what was there: %s', async (_name, options, entries) => {
    const volume = work.file('volume')
    await writeFile(volume, Buffer.alloc(view.length + 4096, 0x55))
    const imageId = await add(targz(entries as TarEntry[]))
    await imageUtils.imageToVolume({ ...options, imageId, volume })
    const written = await readFile(volume)
    expect(written.subarray(0, view.length).equals(view)).toBe(true)
  })

  test('another parent than was noted is in the report', async () => {
    const stranger = diskBytes(buildDisk(plan('differencing', 'a', 'd')))
    const imageId = await add(targz([{ name: '0.vhd', data: stranger }, ...good.slice(1)]))
    for (const verifyBeforeWrite of [false, true]) {
      const request = { imageId, volume: work.file('volume'), verifyBeforeWrite }
      const { warnings } = await imageUtils.imageToVolume(request)
      expect(warnings).toMatchObject([{ rule: 'parent-uuid' }])
    }
  })

  test.each([
    ['a base that is missing', () => targz(good.slice(0, 2)), undefined],
    ['a cut archive', () => tar(good).subarray(0, -200_000), undefined],
    ['another digest', () => targz(good), [{ algorithm: 'sha256', value: '0'.repeat(64) }]],
  ] as const)('nothing is left on it after a failure at the end: %s', async (_name, archive, checksums) => {
    const volume = work.file('volume')
    await writeFile(volume, Buffer.alloc(2 ** 20, 0x55))
    const asked = imageUtils.imageToVolume({ imageId: await add(archive()), volume, checksums })
    await expect(asked).rejects.toBeInstanceOf(ImageError)
    expect((await readFile(volume)).every((byte) => byte === 0)).toBe(true)
  })
})

const [leaf = Buffer.alloc(0)] = disks
const attacks: readonly (readonly [string, Uint8Array])[] = [
  ['a symbolic link', targz([{ name: '0.vhd', type: '2', link: '/etc/passwd' }])],
  ['a hard link', targz([{ name: '0.vhd', type: '1', link: '/etc/passwd' }])],
  ['a device', targz([{ name: '0.vhd', type: '4' }])],
  ['a name that leads out', targz([{ name: '../0.vhd', data: leaf }])],
  ['an absolute name', targz([{ name: '/tmp/0.vhd', data: leaf }])],
  ['no first disk', targz([{ name: '1.vhd', data: leaf }])],
  ['a chain without its base', targz([{ name: '0.vhd', data: leaf }])],
  ['a disk that is none', targz([{ name: '0.vhd', data: Buffer.alloc(4096, 1) }])],
  ['nothing at all', targz([])],
  ['half of itself', targz(good).subarray(0, 700)],
  ['no gzip data', Buffer.alloc(4096, 7)],
  ['gzip of no archive', gzipSync(Buffer.alloc(4096, 7))],
]

describe('an archive is refused, and leaves nothing, where it holds', () => {
  test.each(attacks)('%s', async (_, archive) => {
    const volume = work.file('volume')
    const asked = imageUtils.fetchToRaw({}, undefined, await add(archive), volume, '1M', { size: 1 })
    await expect(asked).rejects.toThrow(InvalidError)
    await expect(stat(volume)).rejects.toThrow('ENOENT')
    const file = work.file('archive')
    await expect(imageUtils.replaceXenserverImageWithCoalescedVhd(file)).rejects.toBeInstanceOf(ImageError)
    expect((await readFile(file)).equals(archive)).toBe(true)
  })
})
