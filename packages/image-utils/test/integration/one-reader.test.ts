import { randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createImageUtils, ImageUnacceptableError, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, makeBackedQcow2, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
/** No multiple of a block or of a cylinder. */
const diskBytes = 10 * MiB + 512 * 1000
let work: Workspace
let imageUtils: ImageUtils

beforeAll(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils(
    { imageService: work.store },
    { imageConversionDir: work.conversionDir, sandbox: 'off' },
  )
})
afterAll(() => work[Symbol.asyncDispose]())

interface Vhd {
  readonly creator: string
  readonly subformat: 'dynamic' | 'fixed'
  /** Whether the first block's bitmap says that its first sector is not there. */
  readonly firstSectorAbsent?: boolean
}

/** A VHD as another program makes it: its geometry comes to less than its size. Returns the disk that it shows. */
async function makeVhd(
  file: string,
  { creator, subformat, firstSectorAbsent = false }: Vhd,
): Promise<Buffer> {
  const disk = Buffer.alloc(diskBytes)
  randomBytes(4096).copy(disk, 0)
  randomBytes(512).copy(disk, diskBytes - 512)
  await writeFile(`${file}.raw`, disk)
  await tool(
    'qemu-img',
    'convert',
    '-f',
    'raw',
    '-O',
    'vpc',
    '-o',
    `subformat=${subformat},force_size=on`,
    `${file}.raw`,
    file,
  )
  const bytes = await readFile(file)
  for (const at of subformat === 'fixed' ? [bytes.length - 512] : [0, bytes.length - 512]) {
    const footer = bytes.subarray(at, at + 512)
    footer.write(creator.padEnd(4, '\0'), 28, 'latin1')
    footer.writeUInt16BE(300, 56)
    footer.set([4, 17], 58)
    footer.writeUInt32BE(0, 64)
    footer.writeUInt32BE(~footer.reduce((sum, byte) => sum + byte, 0) >>> 0, 64)
  }
  if (firstSectorAbsent) {
    const table = Number(bytes.readBigUInt64BE(512 + 16))
    bytes[bytes.readUInt32BE(table) * 512] = 0x7f
    disk.fill(0, 0, 512)
  }
  await writeFile(file, bytes)
  return disk
}

const vhds: readonly (readonly [string, Vhd])[] = [
  ...['vbox', 'vpc ', 'qemu', 'qem2', 'tap', 'CTXS', 'odd!'].flatMap(
    (creator): (readonly [string, Vhd])[] => [
      [`dynamic by ${creator}`, { creator, subformat: 'dynamic' }],
      [`fixed by ${creator}`, { creator, subformat: 'fixed' }],
    ],
  ),
  ['dynamic with an absent sector', { creator: 'tap', subformat: 'dynamic', firstSectorAbsent: true }],
]

test.each(vhds)('a VHD is the same disk by every way out: %s', async (name, vhd) => {
  const file = work.file(name.replaceAll(/\W/g, '-'))
  const disk = await makeVhd(file, vhd)
  const isDisk = async (way: string, raw: string): Promise<void> => {
    expect([way, (await readFile(raw)).equals(disk)]).toEqual([way, true])
  }
  const imageId = await work.add(file, { name, disk_format: 'vhd', container_format: 'bare' })
  await imageUtils.imageToVolume({ imageId, volume: `${file}.fetched` })
  await isDisk('fetch', `${file}.fetched`)

  for (const srcFormat of ['vhd', 'vpc', undefined] as const) {
    await imageUtils.convertImage(file, `${file}.converted`, 'raw', { srcFormat })
    await isDisk(`convert from ${srcFormat}`, `${file}.converted`)
  }
  await imageUtils.convertImage(file, `${file}.qcow2`, 'qcow2', { srcFormat: 'vhd' })
  await imageUtils.convertImage(`${file}.qcow2`, `${file}.again`, 'raw', { srcFormat: 'qcow2' })
  await isDisk('convert by way of qcow2', `${file}.again`)
  await imageUtils.convertImage(file, `${file}.vhd`, 'vhd', { srcFormat: 'vhd', outSubformat: 'fixed' })
  await imageUtils.convertImage(`${file}.vhd`, `${file}.third`, 'raw', { srcFormat: 'vhd' })
  await isDisk('convert by way of a fixed VHD', `${file}.third`)

  const image = await work.store.create({}, { name, disk_format: 'raw', container_format: 'bare' })
  await imageUtils.volumeToImage({ image, volume: file, volumeFormat: 'vhd' })
  await imageUtils.imageToVolume({ imageId: image.id, volume: `${file}.uploaded` })
  await isDisk('upload', `${file}.uploaded`)

  const info = await imageUtils.qemuImgInfo(file)
  expect(info).toMatchObject({
    image: file,
    fileFormat: 'vpc',
    virtualSize: diskBytes,
    backingFile: undefined,
  })
  expect(await imageUtils.getQemuData(imageId, true, false, file, false)).toEqual(info)
  expect(await work.leftovers()).toEqual([])
})

test('a VHD grows without qemu-img, and keeps what it holds', async () => {
  const file = work.file('growing')
  const disk = await makeVhd(file, { creator: 'vbox', subformat: 'dynamic' })
  await imageUtils.resizeImage(file, 1)
  expect((await imageUtils.qemuImgInfo(file)).virtualSize).toBe(1024 * MiB)
  await imageUtils.convertImage(file, `${file}.raw`, 'raw', { srcFormat: 'vhd' })
  expect((await readFile(`${file}.raw`)).subarray(0, diskBytes).equals(disk)).toBe(true)
})

test('a format that was given is looked into before qemu-img grows it; a raw disk never is', async () => {
  const file = work.file('with-a-backing-file')
  await makeBackedQcow2(file, '/etc/hostname')
  const before = await readFile(file)
  await expect(imageUtils.resizeImage(file, 1, { fileFormat: 'qcow2' })).rejects.toMatchObject({
    rule: 'qcow2-backing-file',
  })
  await expect(imageUtils.resizeImage(file, 1, { fileFormat: 'vmdk' })).rejects.toThrow('claimed')
  expect((await readFile(file)).equals(before)).toBe(true)
  await imageUtils.resizeImage(file, 1, { fileFormat: 'raw' })
  expect((await stat(file)).size).toBe(1024 * MiB)
})

/** Where the clock is coarse, deriving a key in a short time fails now and then. */
async function encryptedQcow2(file: string, tries = 10): Promise<void> {
  const secret = `secret,id=s,file=${work.file('secret')}`
  const options = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=100'
  await writeFile(work.file('secret'), 'opensesame')
  try {
    await tool('qemu-img', 'create', '-q', '--object', secret, '-f', 'qcow2', '-o', options, file, '4M')
  } catch (error) {
    if (tries <= 1 || !String(error).includes('CPU usage')) throw error
    await encryptedQcow2(file, tries - 1)
  }
}

test.each(['raw', 'qcow2', 'vmdk'] as const)(
  'an encrypted qcow2 without a key is a refusal: to %s',
  async (format) => {
    const file = work.file(`encrypted-${format}`)
    await encryptedQcow2(file)
    const refusal = { code: 'IMAGE_UNACCEPTABLE', rule: 'qcow2-encryption', found: 'luks' }
    const converted = imageUtils.convertImage(file, `${file}.out`, format, { srcFormat: 'qcow2' })
    await expect(converted).rejects.toMatchObject(refusal)
    if (format === 'qcow2') return
    const image = await work.store.create({}, { name: format, disk_format: format, container_format: 'bare' })
    const uploaded = imageUtils.volumeToImage({ image, volume: file, volumeFormat: 'qcow2' })
    await expect(uploaded).rejects.toMatchObject(refusal)
  },
)

test.each([
  ['gzip', 'gzip'],
  ['xz', 'xz'],
  ['zstd', 'zstd'],
])('a compressed file is no raw disk to convert: %s', async (name, compressor) => {
  const file = work.file(`packed-${name}`)
  await writeFile(file, randomBytes(4096))
  await tool('sh', '-c', `${compressor} -c < '${file}' > '${file}.packed'`)
  for (const srcFormat of ['raw', 'iso', undefined] as const) {
    const converted = imageUtils.convertImage(`${file}.packed`, `${file}.out`, 'qcow2', { srcFormat })
    await expect(converted).rejects.toThrow(ImageUnacceptableError)
    await expect(converted).rejects.toMatchObject({ rule: 'disk-image', found: name })
  }
  const trusting = createImageUtils({}, { imageConversionDir: work.conversionDir, allowArchivesAsRaw: true })
  await trusting.convertImage(`${file}.packed`, `${file}.out`, 'raw', { srcFormat: 'raw' })
  const [packed, out] = await Promise.all([readFile(`${file}.packed`), readFile(`${file}.out`)])
  expect(out.subarray(0, packed.length).equals(packed)).toBe(true)
})

test('what qemu-img takes for another size than the inspector is refused before anything is written', async () => {
  const file = work.file('two-sizes.qcow2')
  await tool('qemu-img', 'create', '-q', '-f', 'qcow2', file, '4M')
  const data = { ...(await imageUtils.qemuImgInfo(file)), virtualSize: 8 * MiB }
  await expect(
    imageUtils.convertImage(file, `${file}.out`, 'raw', { srcFormat: 'qcow2', data }),
  ).rejects.toMatchObject({
    rule: 'virtual-size-differs',
    found: expect.stringContaining(`${8 * MiB} bytes`),
  })
  await expect(readFile(`${file}.out`)).rejects.toMatchObject({ code: 'ENOENT' })
})
