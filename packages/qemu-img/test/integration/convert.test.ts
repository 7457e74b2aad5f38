import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { InvalidError, MiB, ProcessExecutionError } from '@disk-image/core'
import { createQemuImg } from '@disk-image/qemu-img'
import type { CreationOptions } from '@disk-image/qemu-img'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { attachLoopDevice, hashOf, makeDisk } from './disk.ts'
import { createSandboxedRunner } from './sandboxed-runner.ts'

requireTool('qemu-img')
const runner = createSandboxedRunner()
const qemuImg = createQemuImg({ runner })
const sizeBytes = 32 * MiB

let folder: string
let source: string
let sourceHash: string
beforeAll(async () => {
  folder = await mkdtemp('/var/tmp/convert-')
  // A name that means something else wherever it is not quoted.
  source = path.join(folder, 'json:{"driver":"null-co"},file.filename=x:y z')
  await makeDisk(source, sizeBytes)
  sourceHash = await hashOf(source, sizeBytes)
})
afterAll(() => rm(folder, { recursive: true }))

type Kind = Omit<CreationOptions, 'path'>

const kinds: [string, Kind][] = [
  ['raw', { format: 'raw' }],
  ['qcow2', { format: 'qcow2' }],
  ['qcow2, zlib', { format: 'qcow2', compression: 'zlib' }],
  ['qcow2, zstd', { format: 'qcow2', compression: 'zstd' }],
  ['qcow2, small clusters', { format: 'qcow2', clusterSizeBytes: 4096 }],
  ['vmdk, monolithicSparse', { format: 'vmdk', subformat: 'monolithicSparse' }],
  ['vmdk, streamOptimized', { format: 'vmdk', subformat: 'streamOptimized' }],
  ['vhd, dynamic', { format: 'vpc', subformat: 'dynamic' }],
  ['vhd, fixed', { format: 'vpc', subformat: 'fixed' }],
  ['vhd, fixed, exact size', { format: 'vpc', subformat: 'fixed', forceSize: true }],
  ['vhdx', { format: 'vhdx' }],
  ['vdi', { format: 'vdi' }],
  ['parallels', { format: 'parallels' }],
]

describe.each(kinds)('%s', (name, kind) => {
  test('there and back, onto files', async () => {
    const image = path.join(folder, `${name},driver=null-co`)
    const back = path.join(folder, `back-${name}`)
    const seen: number[] = []
    await qemuImg.convert({
      source: { path: source, format: 'raw' },
      destination: { path: image, ...kind },
      onProgress: ({ completed }) => seen.push(completed),
    })
    expect(seen.at(-1)).toBe(100)
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    const info = await qemuImg.info(image, { format: kind.format })
    expect(info.fileFormat).toBe(kind.format)
    // VHD rounds up to what a disk geometry can say, unless it is told not to.
    expect(info.virtualSize).toBeGreaterThanOrEqual(sizeBytes)
    expect(info.virtualSize).toBeLessThan(sizeBytes + MiB)
    await qemuImg.convert({
      virtualSizeBytes: info.virtualSize,
      source: { path: image, format: kind.format },
      destination: { path: back, format: 'raw' },
    })
    expect(await hashOf(back, sizeBytes)).toBe(sourceHash)
    expect((await stat(back)).blocks * 512).toBeLessThan(8 * MiB)
    await rm(image)
    await rm(back)
  })

  test('onto a device that was full of other data, and from a device', async () => {
    const content = kind.format === 'raw' ? 0x55 : 0
    const capacity = 48 * MiB
    await using device = await attachLoopDevice(path.join(folder, 'backing'), capacity, content)
    const image = path.join(folder, `image-${name}`)
    await qemuImg.convert({ source: { path: source, format: 'raw' }, destination: { path: image, ...kind } })
    await qemuImg.convert({
      source: { path: image, format: kind.format },
      destination: { path: device.path, format: 'raw' },
      directIo: true,
    })
    expect(await hashOf(device.path, sizeBytes)).toBe(sourceHash)
    const back = path.join(folder, `back-${name}`)
    await qemuImg.convert({
      source: { path: device.path, format: 'raw' },
      destination: { path: back, ...kind },
    })
    const comparison = await qemuImg.compare(
      { path: back, format: kind.format },
      { path: source, format: 'raw' },
    )
    const whole =
      content === 0 ||
      comparison.identical ||
      comparison.offset === undefined ||
      comparison.offset >= sizeBytes
    expect(content === 0 ? comparison.identical : whole).toBe(true)
    await rm(image)
    await rm(back)
  })
})

// Those formats whose images may be on a device: the driver makes them there.
test.each([
  ['qcow2', { format: 'qcow2' }],
  ['vdi', { format: 'vdi' }],
] as [string, Kind][])('%s on a device', async (_, kind) => {
  await using device = await attachLoopDevice(path.join(folder, 'backing'), 64 * MiB)
  await qemuImg.convert({
    source: { path: source, format: 'raw' },
    destination: { path: device.path, ...kind },
  })
  const same = await qemuImg.compare(
    { path: device.path, format: kind.format },
    { path: source, format: 'raw' },
  )
  expect(same).toEqual({ identical: true })
})

test('without sparse, everything is written', async () => {
  const destination = { path: path.join(folder, 'full'), format: 'raw' }
  await qemuImg.convert({ source: { path: source, format: 'raw' }, destination, sparse: false })
  expect((await stat(destination.path)).blocks * 512).toBeGreaterThanOrEqual(sizeBytes)
  expect(await hashOf(destination.path, sizeBytes)).toBe(sourceHash)
})

test('a rate limit holds', async () => {
  const destination = { path: path.join(folder, 'slow'), format: 'raw' }
  const rateLimitBytesPerSecond = 3 * MiB
  const start = performance.now()
  await qemuImg.convert({ source: { path: source, format: 'raw' }, destination, rateLimitBytesPerSecond })
  expect(performance.now() - start).toBeGreaterThan(500)
})

test('an internal snapshot is converted instead of the current state', async () => {
  const image = path.join(folder, 'snapshots')
  await qemuImg.convert({
    source: { path: source, format: 'raw' },
    destination: { path: image, format: 'qcow2' },
  })
  await qemuImg.createSnapshot(image, 'one,two', { format: 'qcow2' })
  execFileSync(requireTool('qemu-io'), ['-f', 'qcow2', '-c', 'write -P 7 0 1M', image])
  const destination = { path: path.join(folder, 'from-snapshot'), format: 'raw' }
  await qemuImg.convert({ source: { path: image, format: 'qcow2', snapshot: 'one,two' }, destination })
  expect(await hashOf(destination.path, sizeBytes)).toBe(sourceHash)
})

test('onto an image that exists, known to be zero', async () => {
  const destination = { path: path.join(folder, 'existing'), format: 'qcow2' }
  await qemuImg.create(destination.path, sizeBytes, { format: 'qcow2', clusterSizeBytes: 2 * MiB })
  await qemuImg.convert({
    source: { path: source, format: 'raw' },
    destination,
    noCreate: true,
    targetIsZero: true,
  })
  expect(await qemuImg.compare(destination, { path: source, format: 'raw' })).toEqual({ identical: true })
  expect((await qemuImg.info(destination.path, { format: 'qcow2' })).clusterSize).toBe(2 * MiB)
})

test.each(['nbd:localhost:10809', 'json:{}', '-o', 'https:host', 'a,b=c'])(
  'a relative name %j is a file of the working directory',
  async (name) => {
    const file = path.resolve(name)
    await expect(qemuImg.info(name, { format: 'raw' })).rejects.toThrow(ProcessExecutionError)
    expect(runner.calls.at(-1)?.command.args.at(-1)).toBe(file)
    await expect(stat(file)).rejects.toThrow('ENOENT')
  },
)

test('what the declared format is not is an error, not a guess', async () => {
  const image = path.join(folder, 'mislabelled')
  await qemuImg.create(image, MiB, { format: 'qcow2' })
  expect((await qemuImg.info(image, { format: 'raw' })).fileFormat).toBe('raw')
  await expect(qemuImg.info(image, { format: 'vmdk' })).rejects.toThrow(ProcessExecutionError)
  const destination = { path: path.join(folder, 'as-raw'), format: 'raw' }
  await qemuImg.convert({ source: { path: image, format: 'raw' }, destination })
  expect((await readFile(destination.path)).subarray(0, 4).toString('latin1')).toBe('QFI\u00fb')
})

test('a raw disk that looks like a descriptor of a host file stays what it is', async () => {
  const secret = path.join(folder, 'host-secret')
  await writeFile(secret, Buffer.alloc(512, 'S'))
  const descriptor = [
    '# Disk DescriptorFile',
    'version=1\nCID=1\nparentCID=ffffffff',
    'createType="monolithicFlat"',
    `RW 1 FLAT "${secret}" 0`,
    '',
  ].join('\n')
  const volume = path.join(folder, 'volume')
  await writeFile(volume, Buffer.concat([Buffer.from(descriptor), Buffer.alloc(MiB - descriptor.length)]))
  const destination = { path: path.join(folder, 'uploaded'), format: 'qcow2' }
  await qemuImg.convert({ source: { path: volume, format: 'raw' }, destination })
  const same = await qemuImg.compare(destination, { path: volume, format: 'raw' })
  expect(same).toEqual({ identical: true })
  expect((await readFile(destination.path)).includes('SSSS')).toBe(false)
  // Even a tool that is made to follow it finds nothing but what it was shown.
  const followed = qemuImg.convert({
    source: { path: volume, format: 'vmdk' },
    destination,
    virtualSizeBytes: MiB,
  })
  await expect(followed).rejects.toThrow(/No such file/)
})

test('a backing file is only reached where it is declared', async () => {
  const base = path.join(folder, 'base')
  await makeDisk(base)
  const image = path.join(folder, 'overlay')
  await qemuImg.create(image, sizeBytes, { format: 'qcow2', backing: { path: base, format: 'raw' } })
  const info = await qemuImg.info(image, { format: 'qcow2' })
  expect(info).toMatchObject({ backingFile: base, backingFileFormat: 'raw' })
  const refused = qemuImg.info(image, { format: 'qcow2', allowBackingFile: false })
  await expect(refused).rejects.toThrow(InvalidError)
  const destination = { path: path.join(folder, 'flattened'), format: 'raw' }
  await expect(qemuImg.convert({ source: { path: image, format: 'qcow2' }, destination })).rejects.toThrow(
    /No such file/,
  )
  await qemuImg.convert({ source: { path: image, format: 'qcow2', furtherFiles: [base] }, destination })
  expect(await hashOf(destination.path, sizeBytes)).toBe(await hashOf(base, sizeBytes))
})

test('destinations that are none', async () => {
  const convertTo = (name: string): Promise<void> =>
    qemuImg.convert({ source: { path: source, format: 'raw' }, destination: { path: name, format: 'raw' } })
  await expect(convertTo('/dev/no-such-volume-3')).rejects.toThrow(InvalidError)
  await expect(stat('/dev/no-such-volume-3')).rejects.toThrow('ENOENT')
  const link = path.join(folder, 'link')
  await symlink('/dev/no-such-volume-3', link)
  await expect(convertTo(link)).rejects.toThrow(InvalidError)
  await expect(stat('/dev/no-such-volume-3')).rejects.toThrow('ENOENT')
  await expect(convertTo('/dev/null')).rejects.toThrow(InvalidError)
  await expect(convertTo(folder)).rejects.toThrow(InvalidError)
})

test('limits go along: more CPU time for more to do, and one that is too small ends it', async () => {
  const destination = { path: path.join(folder, 'limited'), format: 'qcow2' }
  await qemuImg.convert({
    source: { path: source, format: 'raw' },
    destination,
    virtualSizeBytes: 2 * 1024 ** 3,
  })
  expect(runner.calls.at(-1)?.options.limits).toEqual({
    cpuSeconds: 300,
    addressSpaceBytes: 2 * 1024 ** 3,
    fileSizeBytes: Math.ceil(2 * 1024 ** 3 * 1.1) + 256 * MiB,
  })
  // More than the disk that it was told is more than was judged.
  const large = path.join(folder, 'larger-than-told')
  await qemuImg.create(large, 300 * MiB, { format: 'raw' })
  await expect(
    qemuImg.convert({
      source: { path: large, format: 'raw' },
      destination: { ...destination, format: 'raw' },
      virtualSizeBytes: MiB,
    }),
  ).rejects.toThrow(ProcessExecutionError)
  const tight = createQemuImg({ runner }, { addressSpaceLimitBytes: 12 * MiB })
  await expect(tight.info(source, { format: 'raw' })).rejects.toThrow(ProcessExecutionError)
  expect(() => createQemuImg({ runner }, { cpuLimitSeconds: 0 })).toThrow(InvalidError)
})

test('half the default address space is enough, with 16 requests at once', async () => {
  const half = createQemuImg({ runner }, { addressSpaceLimitBytes: 1024 ** 3 })
  const destination = { path: path.join(folder, 'half'), format: 'qcow2', compression: 'zstd' as const }
  await half.convert({ source: { path: source, format: 'raw' }, destination, parallelism: 16 })
  expect(await half.compare(destination, { path: source, format: 'raw' })).toEqual({ identical: true })
})
