import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import {
  type WritableDiskFormat,
  ImageDownloadFailedError,
  ImageNotFoundError,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
} from '@disk-image/core'
import { requireTool } from '@disk-image/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils, type ImageUtilsOptions, type Progress } from '../../src/index.ts'
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
let shared: Workspace
let raw: string
let rawHash: string

beforeAll(async () => {
  shared = await createWorkspace()
  raw = shared.file('disk.raw')
  await makeRawDisk(raw, 40 * MiB)
  rawHash = await sha256(raw)
})
afterAll(() => shared[Symbol.asyncDispose]())

let work: Workspace
let imageUtils: ImageUtils

function make(options: ImageUtilsOptions = {}): ImageUtils {
  return createImageUtils(
    { imageService: work.store },
    { imageConversionDir: work.conversionDir, allowCompressionOnImageUpload: true, ...options },
  )
}

beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = make()
})
afterEach(async () => {
  expect(await work.leftovers()).toEqual([])
  await work[Symbol.asyncDispose]()
})

async function convert(format: string, name: string, options: string[] = []): Promise<string> {
  const file = work.file(name)
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, raw, file)
  return file
}

async function add(file: string, diskFormat: string, containerFormat = 'bare'): Promise<string> {
  return work.add(file, { name: 'a disk', disk_format: diskFormat, container_format: containerFormat })
}

describe('onto a raw volume', () => {
  test('raw goes there in one pass, verified, with its holes', async () => {
    const imageId = await add(raw, 'raw')
    const volume = work.file('volume')
    const seen: Progress[] = []
    const report = await imageUtils.imageToVolume({
      imageId,
      volume,
      onProgress: (progress) => void seen.push(progress),
    })
    expect(await sha256(volume)).toBe(rawHash)
    expect(report).toMatchObject({
      imageId,
      volume,
      format: 'raw',
      bytesDownloaded: 40 * MiB,
      virtualSizeBytes: 40 * MiB,
      resumes: 0,
      hash: { algorithm: 'sha512', verified: true },
    })
    expect(report.bytesWritten).toBeLessThan(2 * MiB)
    const { blocks } = await stat(volume)
    expect(blocks * 512).toBeLessThan(4 * MiB)
    expect(seen.at(-1)).toMatchObject({
      stage: 'download',
      completed: 40 * MiB,
      total: 40 * MiB,
      fraction: 1,
    })
    expect(seen.map(({ fraction = -1 }) => fraction)).toEqual(
      seen.map(({ fraction = -1 }) => fraction).toSorted((a, b) => a - b),
    )
  })

  test('disableSparse writes every byte', async () => {
    const imageId = await add(raw, 'raw')
    const volume = work.file('volume')
    const report = await imageUtils.imageToVolume({ imageId, volume, disableSparse: true })
    expect(report.bytesWritten).toBe(40 * MiB)
    expect(await sha256(volume)).toBe(rawHash)
  })

  test('an odd size is filled up to whole sectors with zeroes', async () => {
    const odd = work.file('odd.raw')
    const bytes = randomBytes(513)
    await writeFile(odd, bytes)
    const imageId = await add(odd, 'raw')
    const volume = work.file('volume')
    await imageUtils.imageToVolume({ imageId, volume })
    await writeFile(odd, Buffer.concat([bytes, Buffer.alloc(511)]))
    expect(await sha256(volume)).toBe(await sha256(odd))
  })

  test.each([
    ['qcow2', ['-o', 'compat=1.1']],
    ['qcow2', ['-o', 'compat=0.10']],
    ['qcow2', ['-S', '0']],
    ['qcow2', ['-c']],
    ['qcow2', ['-c', '-o', 'compression_type=zstd']],
    ['qcow2', ['-o', 'extended_l2=on,cluster_size=128k']],
    ['vmdk', ['-o', 'subformat=monolithicSparse']],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vhdx', []],
    ['vdi', []],
    ['vpc', ['-o', 'force_size=on']],
    ['vpc', ['-o', 'subformat=fixed,force_size=on']],
  ])('%s %j is decoded to the same bytes', async (format, options) => {
    const diskFormat = format === 'vpc' ? 'vhd' : format
    const imageId = await add(await convert(format, 'image', options), diskFormat)
    const volume = work.file('volume')
    const report = await imageUtils.imageToVolume({ imageId, volume, volumeSizeGiB: 1 })
    expect(report.format).toBe(diskFormat)
    expect(report.virtualSizeBytes).toBe(40 * MiB)
    expect((await stat(volume)).size, 'as large as was asked for').toBe(1024 * MiB)
    await truncate(volume, 40 * MiB)
    expect(await sha256(volume)).toBe(rawHash)
  })

  test('with verifyBeforeWrite nothing is written before the hash is right', async () => {
    const imageId = await add(raw, 'raw')
    const volume = work.file('volume')
    const report = await imageUtils.imageToVolume({ imageId, volume, verifyBeforeWrite: true })
    expect(report.durationSeconds.convert).toBeGreaterThan(0)
    expect(await sha256(volume)).toBe(rawHash)
  })

  test('a compressed container is decoded as it arrives', async () => {
    const packed = work.file('packed')
    await copyFile(raw, packed)
    await tool('gzip', '-1', packed)
    const imageId = await add(`${packed}.gz`, 'raw', 'compressed')
    const volume = work.file('volume')
    const report = await imageUtils.imageToVolume({ imageId, volume })
    expect(report.format).toBe('raw')
    expect(await sha256(volume)).toBe(rawHash)
  })

  test.each([
    ['xz', 'xz', ['-1']],
    ['bz2', 'bzip2', ['-1']],
    ['zst', 'zstd', ['-q', '--rm']],
  ])('whatever it is compressed with: %s', async (ending, packer, words) => {
    const packed = work.file('packed')
    await copyFile(raw, packed)
    await tool(packer, ...words, packed)
    const imageId = await add(`${packed}.${ending}`, 'raw', 'compressed')
    const volume = work.file('volume')
    await imageUtils.imageToVolume({ imageId, volume })
    expect(await sha256(volume)).toBe(rawHash)
    await truncate(`${packed}.${ending}`, 100_000)
    const cut = await add(`${packed}.${ending}`, 'raw', 'compressed')
    await expect(imageUtils.imageToVolume({ imageId: cut, volume: work.file('cut') })).rejects.toMatchObject({
      rule: 'compressed-container',
    })
    expect(existsSync(work.file('cut'))).toBe(false)
  })

  test('a Vagrant box is the disk in it', async () => {
    const folder = work.file('box')
    await mkdir(folder)
    await convert('qcow2', 'box/box.img')
    await writeFile(`${folder}/metadata.json`, '{}')
    await writeFile(`${folder}/Vagrantfile`, '')
    const box = work.file('a.box')
    await tool('tar', '-czf', box, '-C', folder, './metadata.json', './Vagrantfile', './box.img')
    const imageId = await add(box, 'qcow2', 'compressed')
    const volume = work.file('volume')
    await imageUtils.imageToVolume({ imageId, volume })
    expect(await sha256(volume)).toBe(rawHash)
  })

  test('a compressed qcow2 too, inspected after decoding', async () => {
    const image = await convert('qcow2', 'image')
    await tool('gzip', '-1', image)
    const imageId = await add(`${image}.gz`, 'qcow2', 'compressed')
    const volume = work.file('volume')
    await imageUtils.imageToVolume({ imageId, volume })
    expect(await sha256(volume)).toBe(rawHash)
  })
})

describe('onto volumes of other formats', () => {
  test.each(['qcow2', 'vmdk', 'vhdx', 'vdi', 'vhd'] as const)('raw becomes %s', async (volumeFormat) => {
    const imageId = await add(raw, 'raw')
    const volume = work.file('volume')
    await imageUtils.imageToVolume({ imageId, volume, volumeFormat })
    const format = imageUtils.fixupDiskFormat(volumeFormat)
    const back = work.file('back.raw')
    await tool('qemu-img', 'convert', '-f', format, '-O', 'raw', volume, back)
    expect((await stat(back)).size).toBeGreaterThanOrEqual(40 * MiB)
    await truncate(back, 40 * MiB)
    expect(await sha256(back)).toBe(rawHash)
  })

  test('vhd becomes qcow2', async () => {
    const imageId = await add(await convert('vpc', 'image', ['-o', 'force_size=on']), 'vhd')
    const volume = work.file('volume')
    await imageUtils.imageToVolume({ imageId, volume, volumeFormat: 'qcow2' })
    await tool('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', raw, volume)
  })
})

describe('what is refused, leaves nothing', () => {
  async function refusal(
    imageId: string,
    options: { volumeSizeGiB?: number; volumeFormat?: WritableDiskFormat } = {},
  ) {
    const volume = work.file('volume')
    const error = await imageUtils.imageToVolume({ imageId, volume, ...options }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(existsSync(volume)).toBe(false)
    return error
  }

  test('a qcow2 that claims to be raw', async () => {
    const error = await refusal(await add(await convert('qcow2', 'image'), 'raw'))
    expect(error).toBeInstanceOf(ImageUnacceptableError)
    expect(String(error)).toContain("The image format was claimed to be 'raw'")
  })

  test('raw that claims to be qcow2', async () => {
    const error = await refusal(await add(raw, 'qcow2'))
    expect(error).toBeInstanceOf(ImageUnacceptableError)
    expect(String(error)).toContain("The image format was claimed to be 'qcow2'")
  })

  test.each(['/etc/passwd', 'relative.img', 'json:{"driver":"file"}'])(
    'a qcow2 with the backing file %s',
    async (backing) => {
      const image = work.file('image')
      await makeBackedQcow2(image, backing)
      const error = await refusal(await add(image, 'qcow2'))
      expect(error).toBeInstanceOf(ImageUnacceptableError)
      expect((error as ImageUnacceptableError).rule).toMatch(/backing/)
    },
  )

  test('a qcow2 with a data file', async () => {
    const image = work.file('image')
    await tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', `data_file=${work.file('data')}`, image, '1M')
    const error = await refusal(await add(image, 'qcow2'))
    expect(error).toBeInstanceOf(ImageUnacceptableError)
    expect((error as ImageUnacceptableError).rule).toMatch(/data-file/)
  })

  test.each(['vmdk', 'raw', 'ami'])(
    'a text descriptor of a VMDK that names a file of the host, as %s',
    async (diskFormat) => {
      const image = work.file('image')
      await makeFlatDescriptor(image, '/etc/passwd')
      expect(await refusal(await add(image, diskFormat))).toBeInstanceOf(ImageUnacceptableError)
    },
  )

  test('a disk that does not fit into the volume', async () => {
    const image = work.file('image')
    await tool('qemu-img', 'create', '-q', '-f', 'qcow2', image, '5G')
    const error = await refusal(await add(image, 'qcow2'), { volumeSizeGiB: 4 })
    expect(String(error)).toContain("Image virtual size is 5GB and doesn't fit in a volume of size 4GB.")
  })

  test('a gzip bomb', async () => {
    const bomb = work.file('bomb')
    await tool('truncate', '-s', '2G', bomb)
    await tool('gzip', '-1', bomb)
    const error = await refusal(await add(`${bomb}.gz`, 'raw', 'compressed'), { volumeSizeGiB: 1 })
    expect(error).toBeInstanceOf(ImageUnacceptableError)
  }, 60_000)

  test('an image that is not there, and one without data', async () => {
    expect(await refusal('b0a1c2d3-e4f5-4678-9abc-def012345678')).toBeInstanceOf(ImageNotFoundError)
    const { id } = await work.store.create({}, { disk_format: 'raw' })
    const error = await refusal(id)
    expect(error).toBeInstanceOf(ImageDownloadFailedError)
    expect(String(error)).toContain('image contains no data.')
  })

  test('conversion, where it is switched off; raw still goes', async () => {
    const image = await add(await convert('qcow2', 'image'), 'qcow2')
    imageUtils = make({ imageConversionDisable: true })
    expect(String(await refusal(image))).toContain('Image conversion is disabled.')
    await imageUtils.imageToVolume({ imageId: await add(raw, 'raw'), volume: work.file('volume') })
  })

  test.each([3, 20 * MiB, 40 * MiB - 1])('a stored byte that has changed at %d', async (offset) => {
    const imageId = await add(raw, 'raw')
    const data = (await readdir(`${work.directory}/store`)).find((name) => name.endsWith('.data'))
    const handle = await open(`${work.directory}/store/${data}`, 'r+')
    await handle.write(Buffer.from([0x5a, 0xa5]), 0, 1, offset)
    await handle.close()
    const error = await refusal(imageId)
    expect(error).toBeInstanceOf(ImageDownloadFailedError)
    expect((error as ImageDownloadFailedError).partial).toBe(true)
  })

  test('stored data that was cut', async () => {
    const imageId = await add(raw, 'raw')
    const data = (await readdir(`${work.directory}/store`)).find((name) => name.endsWith('.data'))
    await truncate(`${work.directory}/store/${data}`, 30 * MiB)
    expect(await refusal(imageId)).toBeInstanceOf(ImageDownloadFailedError)
  })
})

describe('bad destinations', () => {
  test.each(['/dev/no-such-volume', '/dev/mapper/no-such/volume'])(
    '%s is refused, and never made',
    async (volume) => {
      const imageId = await add(raw, 'raw')
      await expect(imageUtils.imageToVolume({ imageId, volume })).rejects.toThrow(InvalidError)
      expect(existsSync(volume)).toBe(false)
    },
  )

  test('a folder, a character device, a missing folder', async () => {
    const imageId = await add(raw, 'raw')
    for (const volume of [work.directory, '/dev/zero', work.file('no/such/volume')]) {
      await expect(imageUtils.imageToVolume({ imageId, volume })).rejects.toThrow(InvalidError)
    }
  })

  test('a full file system says what was needed and what was free', async () => {
    const folder = work.file('small')
    await mkdir(folder)
    execFileSync(requireTool('mount'), ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', folder])
    try {
      const volume = `${folder}/volume`
      for (const [format, image] of [
        ['raw', raw],
        ['qcow2', await convert('qcow2', 'image')],
        ['vmdk', await convert('vmdk', 'image.vmdk')],
      ] as const) {
        const imageId = await add(image, format)
        const error = await imageUtils.imageToVolume({ imageId, volume }).catch((thrown: unknown) => thrown)
        expect(error, format).toBeInstanceOf(ImageTooBigError)
        expect(String(error)).toContain(folder)
        expect(await readdir(folder)).toEqual([])
      }
    } finally {
      execFileSync(requireTool('umount', 'mount'), [folder])
    }
  })
})

test('without qemu-img every format is read, and what only it writes is not written', async () => {
  const empty = work.file('empty-path')
  await mkdir(empty)
  const { createProcessRunner } = await import('@disk-image/host')
  const runner = createProcessRunner({ environment: { PATH: empty } })
  imageUtils = createImageUtils(
    { imageService: work.store, runner },
    { imageConversionDir: work.conversionDir },
  )
  const volume = work.file('volume')
  const native = [
    [raw, 'raw'],
    [await convert('qcow2', 'image.qcow2'), 'qcow2'],
    [await convert('vmdk', 'image.vmdk'), 'vmdk'],
    [await convert('vdi', 'image.vdi'), 'vdi'],
  ] as const
  for (const [file, format] of native) {
    await imageUtils.imageToVolume({ imageId: await add(file, format), volume })
    expect(await sha256(volume)).toBe(rawHash)
    await rm(volume)
  }
  for (const format of ['vmdk', 'vdi']) {
    const imageId = await add(work.file(`image.${format}`), format)
    const fetched = imageUtils.fetchToRaw({}, undefined, imageId, volume, '1M')
    await expect(fetched, 'Cinder’s function asks it').rejects.toThrow('qemu-img is not installed')
    expect(existsSync(volume)).toBe(false)
  }
  for (const volumeFormat of ['qed', 'qcow'] as const) {
    const imageId = await add(work.file('image.vdi'), 'vdi')
    const error = await imageUtils
      .imageToVolume({ imageId, volume, volumeFormat })
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ImageUnacceptableError)
    expect(String(error)).toContain('qemu-img is not installed')
    expect((error as ImageUnacceptableError).accepted).toContain('apt-get install qemu-utils')
    expect(existsSync(volume)).toBe(false)
  }
})

test('an abort ends it with the signal’s own reason and leaves nothing', async () => {
  for (const format of ['raw', 'qcow2', 'vmdk']) {
    const image = format === 'raw' ? raw : await convert(format, `image.${format}`)
    const imageId = await add(image, format)
    const abort = new AbortController()
    const volume = work.file(`volume-${format}`)
    const reason = new Error('changed my mind')
    const running = imageUtils.imageToVolume({
      imageId,
      volume,
      signal: abort.signal,
      onProgress: () => abort.abort(reason),
    })
    await expect(running).rejects.toBe(reason)
    expect(existsSync(volume)).toBe(false)
  }
})
