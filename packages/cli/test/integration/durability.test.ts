import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { requireTool } from '@disk-image/testing'
import { commandLine } from '../helpers/command.ts'
import { openWorkbench, type Workbench } from '../helpers/run-command.ts'

requireTool('strace')
requireTool('qemu-img')

/** Names of the files that a fetch, and whatever it starts, has put onto the disk. */
async function syncedBy(folder: Workbench, argv: readonly string[]): Promise<string[]> {
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
  execFileSync('strace', [...traced, ...command], {
    cwd: folder.folder,
    env: { PATH: process.env['PATH'] ?? '', HOME: folder.folder, NODE_DISABLE_COMPILE_CACHE: '1' },
  })
  const calls = (await readFile(trace, 'utf8')).matchAll(/sync\w*\(\d+<([^>]*)>/g)
  return [...new Set([...calls].map(([, name = '']) => name))]
}

/** One format for each way onto a raw volume: in one pass, decoded, by qemu-img, by the VHD reader. */
test.each(['raw', 'qcow2', 'vmdk', 'vhd'])(
  '%s is on the disk when a fetch is done, and with --no-sync need not be',
  async (format) => {
    await using folder = await openWorkbench()
    const disk = Buffer.alloc(4 * 1024 * 1024)
    randomBytes(700_000).copy(disk, 1_000_000)
    await writeFile(folder.path('disk.raw'), disk)
    const upload = ['upload', 'disk.raw', '--name', 'disk', '--disk-format', format, '--store', 'store']
    const { imageId } = await folder.json<{ imageId: string }>(upload)

    expect(await syncedBy(folder, [imageId, 'durable.raw'])).toEqual([folder.path('durable.raw')])
    expect(await syncedBy(folder, [imageId, 'quick.raw', '--no-sync'])).toEqual([])
    for (const name of ['durable.raw', 'quick.raw']) {
      const volume = await readFile(folder.path(name))
      // A VHD is as large as its geometry.
      expect(volume.subarray(0, disk.length).equals(disk)).toBe(true)
    }
  },
)
