import { parseDiskFormat } from '@disk-image/core'
import { createHash } from 'node:crypto'
import { readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { createFormatPolicy } from '@disk-image/format-policy'
import { getVhdInfo, getVhdSize } from '@disk-image/vhd'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createImageUtils } from '../../src/index.ts'
import { inspectFile } from '../../src/inspector.ts'
import { createWorkspace, makeRawDisk, sha256, tool, type Workspace } from './support.ts'

/** Whole sectors, but no whole cylinders: what a VHD's geometry comes to is less. */
const diskBytes = 10 * 1024 ** 2 + 1000 * 512
let work: Workspace
let disk: string
let sum: string

beforeAll(async () => {
  work = await createWorkspace()
  disk = work.file('disk.raw')
  await makeRawDisk(disk, diskBytes)
  sum = await sha256(disk)
})
afterAll(() => work[Symbol.asyncDispose]())

interface Kind {
  /** The inspector's name of it, which is Glance's. */
  readonly format: string
  /** qemu-img's. */
  readonly driver: string
  readonly options?: string
  /** A VHD's, of four characters; its geometry is then smaller than its size. */
  readonly creator?: string
}

const kinds: readonly (readonly [string, Kind])[] = [
  ['raw', { format: 'raw', driver: 'raw' }],
  ['qcow2 version 2', { format: 'qcow2', driver: 'qcow2', options: 'compat=0.10' }],
  ['qcow2 version 3', { format: 'qcow2', driver: 'qcow2' }],
  ['qcow2 with extended L2 entries', { format: 'qcow2', driver: 'qcow2', options: 'extended_l2=on' }],
  ['VMDK, sparse', { format: 'vmdk', driver: 'vmdk' }],
  ['VMDK, streamOptimized', { format: 'vmdk', driver: 'vmdk', options: 'subformat=streamOptimized' }],
  ['VHDX', { format: 'vhdx', driver: 'vhdx' }],
  ['VHDX, fixed', { format: 'vhdx', driver: 'vhdx', options: 'subformat=fixed' }],
  ['VDI', { format: 'vdi', driver: 'vdi' }],
  ['Parallels', { format: 'parallels', driver: 'parallels' }],
  ...['dynamic', 'fixed'].flatMap((subformat) =>
    ['vbox', 'tap\0', 'win ', 'qemu', 'qem2', 'vpc ', 'caml'].map((creator) => {
      const kind = { format: 'vhd', driver: 'vpc', options: `subformat=${subformat},force_size=on`, creator }
      return [`VHD, ${subformat}, of ${JSON.stringify(creator)}`, kind] as const
    }),
  ),
]

/** Another creator, and the geometry that belongs to the size, which is rounded down to whole cylinders. */
async function ascribe(file: string, creator: string): Promise<void> {
  const bytes = await readFile(file)
  for (const at of [bytes.length - 512, 0]) {
    if (bytes.toString('latin1', at, at + 8) !== 'conectix') continue
    bytes.write(creator, at + 28, 'latin1')
    bytes.writeUInt16BE(301, at + 56)
    bytes.writeUInt8(4, at + 58)
    bytes.writeUInt8(17, at + 59)
    bytes.fill(0, at + 64, at + 68)
    const total = bytes.subarray(at, at + 512).reduce((all, byte) => all + byte, 0)
    bytes.writeUInt32BE(~total >>> 0, at + 64)
  }
  await writeFile(file, bytes)
}

test.each(kinds)('everybody who can tell says the same of one disk: %s', async (name, kind) => {
  const { format, driver, options, creator } = kind
  const image = work.file(`${createHash('sha256').update(name).digest('hex').slice(0, 12)}.image`)
  const more = options === undefined ? [] : ['-o', options]
  await tool('qemu-img', 'convert', '-q', '-f', 'raw', '-O', driver, ...more, disk, image)
  if (creator !== undefined) await ascribe(image, creator)

  const inspection = await inspectFile(image)
  expect(inspection).toMatchObject({ format, safe: true, verdict: 'safe', virtualSizeBytes: diskBytes })
  const policy = createFormatPolicy({ maxVirtualSizeBytes: diskBytes })
  expect(policy.judge({ claimedFormat: format, inspection, volumeSizeGiB: 1 })).toEqual({ ok: true })
  const tighter = createFormatPolicy({ maxVirtualSizeBytes: diskBytes - 512 })
  expect(tighter.judge({ claimedFormat: format, inspection })).toMatchObject({ rule: 'max-virtual-size' })

  const imageUtils = createImageUtils(
    { imageService: work.store },
    { imageConversionDir: work.conversionDir },
  )
  expect(await imageUtils.getImageFormat(image)).toBe(format)
  const info = await imageUtils.qemuImgInfo(image, { runAsRoot: false })
  expect(info).toMatchObject({ fileFormat: driver, virtualSize: diskBytes })
  const converted = `${image}.converted`
  await imageUtils.convertImage(image, converted, 'raw', {
    srcFormat: parseDiskFormat(driver, 'read'),
    runAsRoot: false,
  })
  expect(await sha256(converted)).toBe(sum)
  const claimed = driver === 'parallels' ? 'ploop' : format
  const imageId = await work.add(image, { disk_format: claimed, container_format: 'bare' })
  const volume = `${image}.volume`
  const plan = await imageUtils.planImageToVolume({ imageId, volume, volumeSizeGiB: 1 })
  expect(plan.refusals).toEqual([])
  // A fixed VHD shows at its end only, and a VHDX says its size behind its first MiB, which a plan does not read.
  expect(plan.format).toBe(inspection.details.foundAt === 'footer' ? 'raw' : format)
  expect([diskBytes, undefined]).toContain(plan.volumeBytes)
  const report = await imageUtils.imageToVolume({ imageId, volume, volumeSizeGiB: 1 })
  expect(report).toMatchObject({ format, virtualSizeBytes: diskBytes })
  await expectDisk(volume)

  expect(await sizesByOthers(image, driver)).toEqual([diskBytes])
})

/** What the tools of the format say: qemu-img's idea of a VHD is asked for by nobody. */
async function sizesByOthers(image: string, driver: string): Promise<number[]> {
  if (driver !== 'vpc') {
    const said = JSON.parse(await tool('qemu-img', 'info', '-f', driver, '--output=json', image)) as {
      readonly 'virtual-size': number
    }
    return [said['virtual-size']]
  }
  const { currentSizeBytes } = await getVhdInfo(image)
  const sizeMiB = await getVhdSize(image)
  return sizeMiB === Math.floor(diskBytes / 1024 ** 2) ? [currentSizeBytes] : [currentSizeBytes, sizeMiB]
}

/** A new file may be as large as the volume that was asked for; the disk is at its start. */
async function expectDisk(volume: string): Promise<void> {
  expect((await stat(volume)).size).toBeGreaterThanOrEqual(diskBytes)
  await truncate(volume, diskBytes)
  expect(await sha256(volume)).toBe(sum)
}

test('a LUKS container has the size that qemu-img says', async () => {
  const image = work.file('disk.luks')
  const secret = ['--object', 'secret,id=s,data=passphrase', '-o', 'key-secret=s,iter-time=10']
  // qemu-img measures the processor first, and gives up where others keep it busy.
  for (let attempt = 1; ; attempt += 1) {
    const made = await tool(
      'qemu-img',
      'create',
      '-q',
      '-f',
      'luks',
      ...secret,
      image,
      String(diskBytes),
    ).then(
      () => true,
      (error: unknown) => {
        if (attempt === 30) throw error
        return false
      },
    )
    if (made) break
  }
  const inspection = await inspectFile(image)
  expect(inspection).toMatchObject({ format: 'luks', safe: true, virtualSizeBytes: diskBytes })
  const info = JSON.parse(await tool('qemu-img', 'info', '-f', 'luks', '--output=json', image)) as object
  expect(info).toMatchObject({ 'virtual-size': diskBytes })
})
