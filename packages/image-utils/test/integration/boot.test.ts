import { spawn } from 'node:child_process'
import { copyFile, stat } from 'node:fs/promises'
import { requireTool, type RunningGlance, startGlance } from '@disk-image/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createGlanceImageService, createImageUtils, type ImageService } from '../../src/index.ts'
import { createWorkspace, makeLoopDevice, sha256, tool, type Workspace } from './support.ts'

const MiB = 1024 * 1024
/** GRUB with its menu, on a disk that a BIOS boots from: of Debian's package grub-rescue-pc. */
const bootDisk = '/usr/lib/grub-rescue/grub-rescue-cdrom.iso'
const qemu = requireTool('qemu-system-x86_64', 'qemu-system-x86')

let work: Workspace
let glance: RunningGlance
let raw: string
let services: Readonly<Record<string, ImageService>>

beforeAll(async () => {
  work = await createWorkspace()
  raw = work.file('disk.raw')
  await copyFile(bootDisk, raw).catch((cause: unknown) => {
    throw new Error('Install the disk to boot from with: apt-get install -y grub-rescue-pc', { cause })
  })
  glance = await startGlance()
  services = { glance: createGlanceImageService({ endpoint: glance.url }), folder: work.store }
})
afterAll(async () => {
  await glance.stop()
  await work[Symbol.asyncDispose]()
})

/** They stand anywhere, also within a word. */
const cursorMoves = new RegExp(String.raw`\u001b\[[\d;?]*[A-Za-z]`, 'g')

/** Boots a machine from a volume, and returns what it says on its serial line until all of that has come. */
async function boot(volume: string, words: readonly string[], withinMs = 40_000): Promise<string> {
  // The machine writes into memory, never onto the volume.
  const disk = `file=${volume},format=raw,if=ide,snapshot=on`
  const hardware = ['-accel', 'tcg', '-machine', 'pc,graphics=off', '-m', '64', '-vga', 'none']
  const plain = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-monitor', 'none']
  const machine = spawn(qemu, [...hardware, ...plain, '-serial', 'stdio', '-drive', disk], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  const gone = new Promise<void>((resolve) => {
    machine.once('close', () => resolve())
  })
  const timer = setTimeout(() => machine.kill('SIGKILL'), withinMs)
  const listen = (text: Buffer): void => {
    said = (said + text.toString('latin1')).replaceAll(cursorMoves, '')
    if (words.every((word) => said.includes(word))) machine.kill('SIGKILL')
  }
  machine.stdout.on('data', listen)
  machine.stderr.on('data', listen)
  await gone
  clearTimeout(timer)
  return said
}

/** What GRUB prints after it has read itself, its configuration and its modules from the disk. */
const menu = ['GNU GRUB  version', 'FreeBSD', 'Memtest86+']

const image = {
  qcow2: ['-O', 'qcow2', '-c'],
  vmdk: ['-O', 'vmdk', '-o', 'subformat=streamOptimized'],
} as const

test.each([
  ['qcow2', 'glance', 'file'],
  ['qcow2', 'folder', 'loop device'],
  ['vmdk', 'folder', 'file'],
  ['vmdk', 'glance', 'loop device'],
] as const)(
  '%s from the %s onto a %s boots to its boot loader',
  async (format, from, target) => {
    const file = work.file(`image.${format}`)
    await tool('qemu-img', 'convert', '-f', 'raw', ...image[format], raw, file)
    const imageService = services[from]!
    const imageUtils = createImageUtils({ imageService }, { imageConversionDir: work.conversionDir })
    const metadata = { name: 'boot disk', disk_format: format, container_format: 'bare' }
    const { id } = await imageService.create({}, metadata)
    // Uploaded as a volume of its own format, which is as it is.
    await imageUtils.uploadVolume({}, undefined, { ...metadata, id }, file, {
      volumeFormat: format,
      runAsRoot: false,
    })
    const loop = target === 'file' ? undefined : await makeLoopDevice(work.file('device'), 16 * MiB)
    try {
      const volume = loop?.device ?? work.file('volume')
      const report = await imageUtils.imageToVolume({ imageId: id, volume, volumeSizeGiB: 1 })
      expect(report).toMatchObject({ format, hash: { verified: true } })
      const said = await boot(volume, menu)
      for (const word of menu) expect(said).toContain(word)
      expect(await work.leftovers()).toEqual([])
    } finally {
      await loop?.detach()
    }
  },
  90_000,
)

test('a volume that went into an image and came back boots too', async () => {
  const settings = { glance: { endpoint: glance.url } }
  const imageUtils = createImageUtils(settings, { imageConversionDir: work.conversionDir })
  const imageService = imageUtils.imageService!
  const metadata = { name: 'snapshot', disk_format: 'qcow2', container_format: 'bare' }
  const { id } = await imageService.create({}, metadata)
  const loop = await makeLoopDevice(work.file('device'), 16 * MiB)
  try {
    await tool('dd', `if=${raw}`, `of=${loop.device}`, 'bs=1M', 'status=none')
    const { image: record } = await imageUtils.volumeToImage({
      image: { ...metadata, id },
      volume: loop.device,
    })
    expect(record).toMatchObject({ status: 'active', disk_format: 'qcow2' })
    const volume = work.file('came-back')
    await imageUtils.fetchToRaw({}, undefined, id, volume, '1M', { size: 1, runAsRoot: false })
    expect((await stat(volume)).size).toBe(16 * MiB)
    expect(await sha256(volume)).toBe(await sha256(loop.device))
    expect(await boot(volume, menu)).toContain('Memtest86+')
  } finally {
    await loop.detach()
  }
}, 90_000)

test('an empty disk does not', async () => {
  const empty = work.file('empty')
  await tool('truncate', '-s', '8M', empty)
  const said = await boot(empty, ['No bootable device'])
  expect(said).toContain('No bootable device')
  expect(said).not.toContain('GRUB')
}, 60_000)
