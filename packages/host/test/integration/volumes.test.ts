import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { GiB, ImageTooBigError, MiB, ProcessExecutionError } from '@disk-image/core'
import {
  blockDeviceSize,
  chownIfNeeded,
  createProcessRunner,
  createTemporaryFiles,
  isBlockDevice,
  openVolume,
  supportsDirectIo,
  VolumeAccessError,
} from '@disk-image/host'
import { requireTool } from '@disk-image/testing'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createRootHandle } from '../../src/volume/media.ts'
import { attachLoopDevice } from './loop-device.ts'

for (const tool of ['losetup', 'mke2fs', 'setpriv']) requireTool(tool)
const host = fileURLToPath(new URL('../../src/index.ts', import.meta.url))

let folder: string
beforeEach(async () => {
  folder = await mkdtemp('/var/tmp/volumes-')
})
afterEach(() => rm(folder, { recursive: true }))

const asUser = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath]
const nodeArguments = ['--conditions=@disk-image/source', '--input-type=module', '-e']

/** What a script prints when an ordinary user runs it. */
async function whatAnOrdinaryUserSees(script: string, ...args: string[]): Promise<unknown> {
  const whole = `const host = await import(process.argv[1]); const [first] = process.argv.slice(2); ${script}`
  const { stdout } = await execa('setpriv', [...asUser, ...nodeArguments, whole, host, ...args])
  return JSON.parse(stdout)
}

describe('a block device', () => {
  test('is known with its size, without privileges', async () => {
    await using device = await attachLoopDevice(path.join(folder, 'backing'), 5 * MiB + 512)
    expect(await isBlockDevice(device.path)).toBe(true)
    expect(await blockDeviceSize(device.path)).toBe(5 * MiB + 512)
    expect(await isBlockDevice(folder)).toBe(false)
    await expect(blockDeviceSize(folder)).rejects.toThrow('not a block device')
    const script = 'console.log(await host.blockDeviceSize(first))'
    expect(await whatAnOrdinaryUserSees(script, device.path)).toBe(5 * MiB + 512)
  })

  // The loop driver clears ranges by itself; told otherwise, zeros have to be written.
  test.each([
    ['clears by itself', undefined],
    ['has zeros written', { run: () => Promise.reject(new Error('no blkdiscard here')) }],
  ])('that %s shows nothing of what was on it', async (_, runner) => {
    const backing = path.join(folder, 'backing')
    await writeFile(backing, Buffer.alloc(16 * MiB, 'old'))
    await using device = await attachLoopDevice(backing, 16 * MiB)
    {
      await using volume = await openVolume(device.path, { sizeBytes: 10 * MiB, runner })
      expect(volume).toMatchObject({ kind: 'block-device', sizeBytes: 16 * MiB, created: false })
      await volume.zero(0, 3 * MiB)
      await volume.write(Buffer.alloc(MiB, 'n'), 3 * MiB)
      await volume.zero(4 * MiB, 6 * MiB - 100)
      await volume.write(Buffer.alloc(100, 'e'), 10 * MiB - 100)
      await volume.commit(10 * MiB)
    }
    const expected = Buffer.alloc(10 * MiB)
    expected.fill('n', 3 * MiB, 4 * MiB)
    expected.fill('e', 10 * MiB - 100)
    const bytes = await readFile(device.path)
    expect(bytes.subarray(0, 10 * MiB).equals(expected)).toBe(true)
    // What lies behind the image is cleared only where that costs nothing.
    expect(bytes.includes('old')).toBe(runner !== undefined)
  })

  test('that was not committed loses both ends', async () => {
    const backing = path.join(folder, 'backing')
    await using device = await attachLoopDevice(backing, 8 * MiB)
    {
      await using volume = await openVolume(device.path)
      await volume.write(Buffer.alloc(8 * MiB, 'x'), 0)
    }
    const bytes = await readFile(device.path)
    expect(bytes.subarray(0, MiB).every((byte) => byte === 0)).toBe(true)
    // Two MiB and four are where some formats repeat their headers.
    for (const [start, end] of [
      [1.5, 2],
      [3, 4],
      [5, 7],
    ] as const) {
      expect(bytes.subarray(start * MiB, end * MiB).every((byte) => byte === 120)).toBe(true)
    }
    expect(bytes.subarray(7 * MiB).every((byte) => byte === 0)).toBe(true)
  })

  test('keeps its content until something is written', async () => {
    const backing = path.join(folder, 'backing')
    await writeFile(backing, Buffer.alloc(4 * MiB, 'old'))
    await using device = await attachLoopDevice(backing, 4 * MiB)
    {
      await using _ = await openVolume(device.path)
    }
    expect((await readFile(device.path)).includes('old')).toBe(true)
  })

  test('that is too small is refused, before and while writing', async () => {
    await using device = await attachLoopDevice(path.join(folder, 'backing'), 4 * MiB)
    await expect(openVolume(device.path, { sizeBytes: 4 * MiB + 1, imageId: 'abc' })).rejects.toThrow(
      ImageTooBigError,
    )
    await using volume = await openVolume(device.path)
    await expect(volume.write(Buffer.alloc(2), 4 * MiB - 1)).rejects.toThrow(ImageTooBigError)
    await expect(volume.zero(0, 4 * MiB + 1)).rejects.toThrow(ImageTooBigError)
  })

  test('that is mounted is refused', async () => {
    await using device = await attachLoopDevice(path.join(folder, 'backing'), 8 * MiB)
    await execa(requireTool('mke2fs'), ['-q', '-F', device.path])
    const mountPoint = path.join(folder, 'mounted')
    await mkdir(mountPoint)
    await execa('mount', [device.path, mountPoint])
    try {
      await expect(openVolume(device.path)).rejects.toThrow(VolumeAccessError)
      await expect(openVolume(device.path)).rejects.toThrow(/in use/)
    } finally {
      await execa('umount', [mountPoint])
    }
  })
})

test('O_DIRECT is tried, and neither makes nor changes anything', async () => {
  await using device = await attachLoopDevice(path.join(folder, 'backing'), MiB)
  expect(await supportsDirectIo(device.path)).toBe(true)
  const file = path.join(folder, 'file')
  expect(await supportsDirectIo(file)).toBe(false)
  await expect(stat(file)).rejects.toThrow('ENOENT')
  await writeFile(file, 'content')
  expect(await supportsDirectIo(file)).toBe(true)
  expect(await readFile(file, 'utf8')).toBe('content')
  expect(await supportsDirectIo('/proc/self/comm')).toBe(false)
})

describe('a full file system', () => {
  const small = async (options = 'size=8m'): Promise<AsyncDisposable & { readonly path: string }> => {
    const mountPoint = path.join(folder, 'small')
    await mkdir(mountPoint)
    await execa('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mountPoint])
    return { path: mountPoint, [Symbol.asyncDispose]: async () => void (await execa('umount', [mountPoint])) }
  }

  test('is named with folder, need and rest, and leaves nothing', async () => {
    await using place = await small()
    const volume = await openVolume(path.join(place.path, 'volume'), { sizeBytes: GiB, imageId: 'abc' })
    const chunk = Buffer.alloc(MiB, 'x')
    const writing = async (): Promise<void> => {
      for (let offset = 0; offset < GiB; offset += MiB) await volume.write(chunk, offset)
    }
    await expect(writing()).rejects.toThrow(ImageTooBigError)
    const error: unknown = await volume.write(chunk, 100 * MiB).catch((reason: unknown) => reason)
    expect((error as Error).message).toContain(place.path)
    expect((error as Error).message).toContain('1 GiB needed')
    expect((error as Error).message).toContain('free')
    await volume.close()
    await expect(stat(path.join(place.path, 'volume'))).rejects.toThrow('ENOENT')
  })

  test('is named for temporary files too', async () => {
    await using place = await small('size=8m,nr_inodes=1')
    const files = createTemporaryFiles({ directory: place.path })
    await expect(files.createFile()).rejects.toThrow(ImageTooBigError)
  })
})

describe('for an ordinary user', () => {
  beforeEach(() => chmod(folder, 0o755))

  test('a volume that may not be written is a clear error', async () => {
    const file = path.join(folder, 'volume')
    await writeFile(file, 'content', { mode: 0o600 })
    const script = `console.log(JSON.stringify(await host.openVolume(first).then(() => 'opened', (error) => [error.code, error.kind, error.message])))`
    expect(await whatAnOrdinaryUserSees(script, file)).toEqual([
      'VOLUME_ACCESS',
      'not-authorized',
      `${file} can't be opened: this user may not read and write it`,
    ])
    expect(await whatAnOrdinaryUserSees(script, path.join(folder, 'new'))).toContain('VOLUME_ACCESS')
  })
})

test('the owner is changed for the time of the work, and put back after it', async () => {
  const file = path.join(folder, 'volume')
  await writeFile(file, 'content', { mode: 0o600 })
  const runner = createProcessRunner({ rootHelper: ['sudo', '-n'] })
  const look = async (name: string) => ({ accessible: false, ownerId: (await stat(name)).uid })
  const work = async (): Promise<void> => {
    await using _ = await chownIfNeeded(file, { runner, userId: 65_534, look })
    expect((await stat(file)).uid).toBe(65_534)
    throw new Error('inside')
  }
  await expect(work()).rejects.toThrow('inside')
  expect((await stat(file)).uid).toBe(0)
})

test('what only root may write is written by dd, each change in one piece and nothing beside it', async () => {
  const runner = createProcessRunner({ rootHelper: ['sudo', '-n'] })
  const file = path.join(folder, 'volume')
  await writeFile(file, Buffer.alloc(3 * MiB, 'o'))
  const handle = createRootHandle(file, runner)
  const chunk = Buffer.alloc(MiB + 4096, 'n')
  expect(await handle.write(chunk, 0, chunk.length, 512)).toMatchObject({ bytesWritten: chunk.length })
  await handle.datasync()
  const expected = Buffer.alloc(3 * MiB, 'o').fill('n', 512, 512 + chunk.length)
  expect((await readFile(file)).equals(expected)).toBe(true)
  await handle.truncate(0)
  await handle.truncate(MiB + 7)
  expect((await readFile(file)).equals(Buffer.alloc(MiB + 7))).toBe(true)
  // Neither makes what is not there.
  await rm(file)
  await expect(handle.write(chunk, 0, 512, 0)).rejects.toThrow(ProcessExecutionError)
  await expect(handle.truncate(5)).rejects.toThrow(ProcessExecutionError)
  await expect(stat(file)).rejects.toThrow('ENOENT')
})
