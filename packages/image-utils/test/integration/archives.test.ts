import { open } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createImageUtils, ImageUnacceptableError, InvalidError } from '../../src/index.ts'
import { createWorkspace, makeBackedQcow2, makeFullDisk, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
let work: Workspace
let volume: string

beforeEach(async () => {
  work = await createWorkspace()
  volume = work.file('volume')
  await makeFullDisk(volume, 4 * MiB)
})
afterEach(() => work[Symbol.asyncDispose]())

/** Puts a file onto the start of the volume, as a guest does that writes its device itself. */
async function writeOntoVolume(file: string): Promise<void> {
  await tool('dd', `if=${file}`, `of=${volume}`, 'conv=notrunc', 'status=none')
}

async function archive(kind: string): Promise<string> {
  const file = work.file(`archive.${kind}`)
  if (kind === 'tar') await tool('tar', '-cf', file, '-C', '/etc', 'hostname')
  if (kind === 'gzip') await tool('tar', '-czf', file, '-C', '/etc', 'hostname')
  if (kind === 'zip') await tool('zip', '-q', file, '/etc/hostname')
  return file
}

const container = { container_format: 'bare' }

describe.each(['tar', 'gzip', 'zip'])('a raw volume that begins like %s', (kind) => {
  test('is uploaded as its bytes, with a warning; comes back as raw where archives are allowed', async () => {
    await writeOntoVolume(await archive(kind))
    const told: unknown[] = []
    const warn = (message: string, fields: unknown): void => void told.push([message, fields])
    const silent = (): void => undefined
    const logger = { debug: silent, info: silent, warn, error: silent }
    const imageUtils = createImageUtils(
      { imageService: work.store, logger },
      { imageConversionDir: work.conversionDir },
    )
    const image = await work.store.create({}, { disk_format: 'raw', ...container })
    const { warnings } = await imageUtils.volumeToImage({ image, volume })
    expect(warnings).toMatchObject([
      { rule: 'disk-image', accepted: expect.stringContaining('qcow2') as unknown },
    ])
    expect(JSON.stringify(told)).toContain('will be refused')

    const request = { imageId: image.id, volume: work.file('back') }
    const refused = await imageUtils.imageToVolume(request).catch((thrown: unknown) => thrown)
    expect(refused).toBeInstanceOf(ImageUnacceptableError)
    expect((refused as ImageUnacceptableError).accepted).toBe('a disk image')

    const open = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir, allowArchivesAsRaw: true },
    )
    await open.imageToVolume(request)
    expect(await sha256(request.volume)).toBe(await sha256(volume))
    await open.fetchToVolumeFormat({}, undefined, image.id, work.file('back.qcow2'), 'qcow2')
    await tool('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', volume, work.file('back.qcow2'))
    const again = await work.store.create({}, { disk_format: 'raw', ...container })
    expect((await open.volumeToImage({ image: again, volume })).warnings).toEqual([])
  })

  test('goes there and back as qcow2 without a word', async () => {
    await writeOntoVolume(await archive(kind))
    const imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir },
    )
    const image = await work.store.create({}, { disk_format: 'qcow2', ...container })
    expect((await imageUtils.volumeToImage({ image, volume })).warnings).toEqual([])
    await imageUtils.imageToVolume({ imageId: image.id, volume: work.file('back') })
    expect(await sha256(work.file('back'))).toBe(await sha256(volume))
  })
})

describe('where archives are allowed as raw', () => {
  const make = () =>
    createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir, allowArchivesAsRaw: true },
    )

  test('they are as nothing else', async () => {
    const file = await archive('gzip')
    for (const diskFormat of ['qcow2', 'vmdk', 'ami']) {
      const imageId = await work.add(file, { disk_format: diskFormat, ...container })
      const asked = make().imageToVolume({ imageId, volume: work.file('back') })
      await expect(asked).rejects.toThrow(InvalidError)
    }
  })

  test('every other format claimed to be raw is refused as ever, and said so at the upload', async () => {
    const inside = work.file('inside.qcow2')
    await makeBackedQcow2(inside, '/etc/passwd')
    await writeOntoVolume(inside)
    const image = await work.store.create({}, { disk_format: 'raw', ...container })
    const { warnings } = await make().volumeToImage({ image, volume })
    expect(warnings).toHaveLength(1)
    const asked = make().imageToVolume({ imageId: image.id, volume: work.file('back') })
    await expect(asked).rejects.toThrow("claimed to be 'raw'")
  })

  test('a tar whose first member makes it another format too is refused', async () => {
    const file = await archive('tar')
    const handle = await open(file, 'r+')
    await handle.write(Buffer.from('QFI\u00fb', 'latin1'), 0, 4, 0)
    await handle.close()
    const imageId = await work.add(file, { disk_format: 'raw', ...container })
    const asked = make().imageToVolume({ imageId, volume: work.file('back') })
    await expect(asked).rejects.toThrow(ImageUnacceptableError)
  })
})
