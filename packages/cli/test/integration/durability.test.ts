import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { MiB } from '@disk-image/core'
import { expect, test } from 'vitest'
import { requireTool } from '@disk-image/testing'
import { commandLine } from '../helpers/command.ts'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

requireTool('strace')
requireTool('qemu-img')

interface Fetched {
  readonly exitCode: number | null
  /** Names of the files that the fetch, and whatever it started, has put onto the disk. */
  readonly synced: readonly string[]
}

async function fetch(folder: Workbench, argv: readonly string[]): Promise<Fetched> {
  const trace = folder.path('trace')
  const traced = [
    '-f',
    '-qq',
    '-y',
    '-e',
    'trace=fsync,fdatasync,sync,syncfs,sync_file_range,msync',
    '-o',
    trace,
  ]
  const command = commandLine([
    'fetch',
    ...argv,
    '--quiet',
    '--store',
    'store',
    '--conversion-dir',
    'conversion',
  ])
  const { status } = spawnSync('strace', [...traced, ...command], {
    cwd: folder.folder,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: folder.folder,
      NODE_DISABLE_COMPILE_CACHE: '1',
      DISK_IMAGE_FORCE: 'yes',
    },
  })
  const calls = (await readFile(trace, 'utf8')).matchAll(/sync\w*\(\d+<([^>]*)>/g)
  // A new file has another name until it is on the disk.
  const names = [...calls].map(([, name = '']) => name.replace(/\/\.(.*)\.disk-image-.*\.partial$/, '/$1'))
  return { exitCode: status, synced: [...new Set(names)] }
}

async function uploadDisk(folder: Workbench, disk: Uint8Array, format: string): Promise<string> {
  await writeFile(folder.path('disk.raw'), disk)
  const upload = ['upload', 'disk.raw', '--name', 'disk', '--disk-format', format, '--store', 'store']
  const { imageId } = await folder.json<{ imageId: string }>(upload)
  return imageId
}

/** One format for each way onto a raw volume: in one pass, decoded, by qemu-img, by the VHD reader. */
test.each(['raw', 'qcow2', 'vmdk', 'vhd'])(
  '%s is on the disk when a fetch is done, and with --no-sync need not be',
  async (format) => {
    await using folder = await openWorkbench()
    const disk = Buffer.alloc(4 * MiB)
    randomBytes(700_000).copy(disk, 1_000_000)
    const imageId = await uploadDisk(folder, disk, format)

    const durable = await fetch(folder, [imageId, 'durable.raw'])
    expect(durable.exitCode).toBe(0)
    expect(durable.synced).toEqual([folder.path('durable.raw'), folder.folder])
    expect(await fetch(folder, [imageId, 'quick.raw', '--no-sync'])).toEqual({ exitCode: 0, synced: [] })
    for (const name of ['durable.raw', 'quick.raw']) {
      const volume = await readFile(folder.path(name))
      // A VHD is as large as its geometry.
      expect(volume.subarray(0, disk.length).equals(disk)).toBe(true)
    }
  },
)

test('of a volume that was there and got wrong data the zeroed ends are on the disk, also with --no-sync', async () => {
  await using folder = await openWorkbench()
  const imageId = await uploadDisk(folder, randomBytes(4 * MiB), 'raw')
  await using stored = await open(folder.path(path.join('store', `${imageId}.data`)), 'r+')
  await stored.write(Buffer.from('changed'), 0, 7, 2 * MiB)
  await writeFile(folder.path('old.raw'), Buffer.alloc(4 * MiB, 'old'))

  const { exitCode, synced } = await fetch(folder, [imageId, 'old.raw', '--no-sync'])
  expect(exitCode).toBe(1)
  expect(synced).toEqual([folder.path('old.raw')])
  const volume = await readFile(folder.path('old.raw'))
  expect(volume.subarray(0, MiB).equals(Buffer.alloc(MiB))).toBe(true)
  expect(volume.subarray(-MiB).equals(Buffer.alloc(MiB))).toBe(true)

  // One that was made for it is gone, and nothing is waited for.
  expect(await fetch(folder, [imageId, 'new.raw', '--no-sync'])).toEqual({ exitCode: 1, synced: [] })
  await expect(stat(folder.path('new.raw'))).rejects.toThrow('ENOENT')
})
