import { constants } from 'node:fs'
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ImageTooBigError, InvalidError, MiB } from '@disk-image/core'
import { writeSparsely } from '@disk-image/io'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { holdFile } from '../files/hold-file.ts'
import { hostTag, temporaryName } from '../temporary/temporary-name.ts'
import { openVolume } from './open-volume.ts'

let folder: string
let file: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'volume-'))
  file = path.join(folder, 'volume')
})
afterEach(() => rm(folder, { recursive: true }))

test('a new file: written, zeroed, committed', async () => {
  const volume = await openVolume(file)
  expect(volume).toMatchObject({ kind: 'file', created: true, touched: false, path: file })
  await volume.write(Buffer.alloc(MiB, 'a'), 0)
  await volume.zero(MiB, 8 * MiB)
  await volume.write(Buffer.from('end'), 9 * MiB)
  await volume.commit(9 * MiB + 512)
  await volume.close()
  const expected = Buffer.alloc(9 * MiB + 512)
  expected.fill('a', 0, MiB)
  expected.write('end', 9 * MiB)
  expect((await readFile(file)).equals(expected)).toBe(true)
  const status = await stat(file)
  expect(status.blocks * 512).toBeLessThan(3 * MiB)
  expect(status.mode & 0o777).toBe(0o600)
})

test('a file that is held is filled, whatever has its name by now', async () => {
  await writeFile(file, 'old')
  await using held = await holdFile(file)
  const reader = await open(file)
  await rm(file)
  await symlink('elsewhere', file)
  const volume = await openVolume(held.path)
  await volume.write(Buffer.alloc(512, 'n'), 0)
  await volume.commit(512)
  await volume.close()
  expect((await reader.read(Buffer.alloc(512), 0, 512, 0)).buffer.toString()).toBe('n'.repeat(512))
  await reader.close()
  await expect(stat(path.join(folder, 'elsewhere'))).rejects.toThrow('ENOENT')
})

test('a name in a folder that is held is never followed, and made where it is missing', async () => {
  const held = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  const at = (name: string): string => `/proc/${process.pid}/fd/${held.fd}/${name}`
  await symlink('elsewhere', path.join(folder, 'link'))
  await expect(openVolume(at('link'))).rejects.toThrow('is a link')
  await using volume = await openVolume(at('new'))
  await volume.write(Buffer.alloc(512), 0)
  await volume.commit(512)
  expect((await stat(path.join(folder, 'new'))).size).toBe(512)
  await held.close()
})

test('nothing of what was in a file shows through', async () => {
  await writeFile(file, Buffer.alloc(4 * MiB, 'old'))
  await using volume = await openVolume(file)
  expect(volume.created).toBe(false)
  await volume.zero(0, MiB)
  await volume.write(Buffer.from('new'), MiB)
  await volume.commit(3 * MiB)
  const bytes = await readFile(file)
  expect(bytes).toHaveLength(3 * MiB)
  expect(bytes.includes('old')).toBe(false)
})

test('skipping what was written in this pass makes it zeros, in whatever order', async () => {
  await using volume = await openVolume(file)
  await volume.write(Buffer.alloc(3 * MiB, 'x'), 0)
  await volume.write(Buffer.alloc(10, 'y'), 20 * MiB)
  await volume.zero(MiB, MiB)
  await volume.zero(10 * MiB, MiB)
  await volume.commit(20 * MiB + 10)
  const bytes = await readFile(file)
  expect(bytes.subarray(MiB, 2 * MiB).every((byte) => byte === 0)).toBe(true)
  expect(bytes.subarray(2 * MiB, 3 * MiB).every((byte) => byte === 120)).toBe(true)
  expect((await stat(file)).blocks * 512).toBeLessThan(5 * MiB)
})

test('opening alone changes nothing', async () => {
  await writeFile(file, 'precious')
  const volume = await openVolume(file)
  await volume.abandon()
  await volume.close()
  expect(await readFile(file, 'utf8')).toBe('precious')
})

test('a file that was made and not committed is gone', async () => {
  const volume = await openVolume(file)
  await volume.write(Buffer.from('half'), 0)
  await volume.close()
  await volume.close()
  await expect(stat(file)).rejects.toThrow('ENOENT')
})

test('a file that was there and not committed becomes a hole of the disk’s size, which takes no room', async () => {
  await writeFile(file, 'old')
  {
    await using volume = await openVolume(file)
    await volume.write(Buffer.alloc(5 * MiB, 'x'), 0)
  }
  const bytes = await readFile(file)
  expect(bytes).toHaveLength(5 * MiB)
  expect(bytes.every((byte) => byte === 0)).toBe(true)
  expect((await stat(file)).blocks).toBe(0)
})

test('a committed volume is not abandoned any more', async () => {
  const volume = await openVolume(file)
  await volume.write(Buffer.from('done'), 0)
  await volume.commit(4)
  await volume.abandon()
  await volume.close()
  expect(await readFile(file, 'utf8')).toBe('done')
})

test('shared memory, many writes at once, sparse', async () => {
  const memory = new Uint8Array(new SharedArrayBuffer(4 * MiB))
  memory.fill(5, MiB, MiB + 100)
  memory.fill(6, 3 * MiB)
  await using volume = await openVolume(file)
  const written = await Promise.all(
    [0, 1, 2, 3].map((part) =>
      writeSparsely(volume, memory.subarray(part * MiB, (part + 1) * MiB), part * MiB),
    ),
  )
  await volume.commit(4 * MiB)
  expect((await readFile(file)).equals(Buffer.from(memory))).toBe(true)
  expect(written).toEqual([0, 4096, 0, MiB])
})

test('a missing node under /dev is refused and not made', async () => {
  await expect(openVolume('/dev/no-such-volume-1')).rejects.toThrow(/\/dev\/no-such-volume-1/)
  await expect(openVolume('/dev/no-such-volume-1')).rejects.toThrow(InvalidError)
  await expect(openVolume('/tmp/../dev/no-such-volume-1')).rejects.toThrow(InvalidError)
  await symlink('/dev/no-such-volume-1', path.join(folder, 'link'))
  await expect(openVolume(path.join(folder, 'link'))).rejects.toThrow(InvalidError)
  await expect(stat('/dev/no-such-volume-1')).rejects.toThrow('ENOENT')
})

test('only files and block devices can be volumes', async () => {
  await execa('mkfifo', [path.join(folder, 'pipe')])
  await mkdir(path.join(folder, 'folder'))
  for (const name of ['/dev/null', path.join(folder, 'pipe'), path.join(folder, 'folder')]) {
    await expect(openVolume(name)).rejects.toThrow(InvalidError)
  }
  await expect(openVolume(path.join(folder, 'none', 'volume'))).rejects.toThrow(/folder does not exist/)
})

test('offsets that are none are refused', async () => {
  await using volume = await openVolume(file)
  await expect(volume.write(Buffer.from('x'), -1)).rejects.toThrow(InvalidError)
  await expect(volume.zero(0.5, 1)).rejects.toThrow(InvalidError)
  await expect(volume.zero(0, Number.MAX_SAFE_INTEGER + 1)).rejects.toThrow(InvalidError)
  await volume.write(Buffer.from('12345'), 0)
  await expect(volume.commit(4)).rejects.toThrow(InvalidError)
})

test('an aborted signal opens nothing', async () => {
  await expect(openVolume(file, { signal: AbortSignal.abort('no') })).rejects.toBe('no')
  await expect(open(file)).rejects.toThrow('ENOENT')
})

test('a volume that need not be durable is complete all the same', async () => {
  await using volume = await openVolume(file, { durable: false })
  await volume.write(Buffer.alloc(MiB, 'x'), 0)
  await volume.commit(2 * MiB)
  expect((await stat(file)).size).toBe(2 * MiB)
})

test('a new file has its name when it is committed, and takes it from nobody', async () => {
  const volume = await openVolume(file)
  await volume.write(Buffer.from('ours'), 0)
  const [unfinished = ''] = await readdir(folder)
  expect(unfinished).toMatch(/^\.volume\..*\.partial$/)
  await writeFile(file, 'theirs')
  await expect(volume.commit(4)).rejects.toThrow(/made by somebody else/)
  await volume.close()
  expect(await readFile(file, 'utf8')).toBe('theirs')
  expect(await readdir(folder)).toEqual(['volume'])
  await expect(openVolume(path.join(folder, unfinished))).rejects.toThrow(/unfinished/)
})

test('what a check has against the whole is not committed', async () => {
  const old = path.join(folder, 'old')
  await writeFile(old, 'before')
  for (const name of [file, old]) {
    await using volume = await openVolume(name)
    await volume.write(Buffer.from('content'), 0)
    const check = async (whole: string): Promise<void> => {
      expect(await readFile(whole, 'utf8')).toBe('content')
      throw new Error('no')
    }
    await expect(volume.commit(7, check)).rejects.toThrow('no')
  }
  expect(await readdir(folder)).toEqual(['old'])
  expect(await readFile(old)).toEqual(Buffer.alloc(7))
})

test('nothing is written beyond the announced size, whoever says so', async () => {
  await writeFile(path.join(folder, 'there'), '')
  for (const name of [file, path.join(folder, 'there')]) {
    await using volume = await openVolume(name, { sizeBytes: MiB + 100 })
    await volume.write(Buffer.alloc(512), MiB)
    await expect(volume.write(Buffer.alloc(513), MiB)).rejects.toThrow(ImageTooBigError)
    await expect(volume.zero(0, MiB + 513)).rejects.toThrow(ImageTooBigError)
    await expect(volume.commit(MiB + 1024)).rejects.toThrow(ImageTooBigError)
  }
})

test('a link to a file is followed once; one to nothing, or into the devices, makes nothing', async () => {
  await writeFile(file, 'old')
  await symlink(file, path.join(folder, 'link'))
  {
    await using volume = await openVolume(path.join(folder, 'link'))
    await volume.write(Buffer.from('new'), 0)
    await volume.commit(3)
  }
  expect(await readFile(file, 'utf8')).toBe('new')
  await symlink('/dev', path.join(folder, 'devices'))
  await symlink(path.join(folder, 'nothing'), path.join(folder, 'dangling'))
  for (const name of ['devices/no-such-volume-1', 'devices/mapper/../no-such-volume-1', 'dangling']) {
    await expect(openVolume(path.join(folder, name))).rejects.toThrow(InvalidError)
  }
  await expect(stat('/dev/no-such-volume-1')).rejects.toThrow('ENOENT')
  await expect(stat(path.join(folder, 'nothing'))).rejects.toThrow('ENOENT')
})

test('the next run removes what a killed one left of the same file, and nothing else', async () => {
  const dead = { hostTag: hostTag(), processId: 2 ** 22 + 1, startTicks: 1 }
  const names = ['.volume.', '.volume.other.', '.another.'].map((prefix) =>
    temporaryName(dead, prefix, '.partial'),
  )
  for (const name of names) await writeFile(path.join(folder, name), 'half')
  {
    await using volume = await openVolume(file)
    await volume.commit(0)
  }
  expect((await readdir(folder)).sort()).toEqual([...names.slice(1), 'volume'].sort())
})
