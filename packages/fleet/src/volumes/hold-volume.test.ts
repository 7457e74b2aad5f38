import path from 'node:path'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, realpath, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import { InvalidError } from '@disk-image/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { holdVolume } from './hold-volume.ts'
import type { HeldVolume } from './hold-volume.ts'

let base: string
let folder: string
const at = (...names: string[]): string => path.join(folder, ...names)
const hold = (name: string, use: 'read' | 'write' = 'read'): Promise<HeldVolume> =>
  holdVolume(at(name), 'default', { folders: [folder] }, use)

beforeEach(async () => {
  base = await realpath(await mkdtemp(path.join(tmpdir(), 'hold-volume-')))
  folder = path.join(base, 'volumes')
  await mkdir(folder)
  await writeFile(path.join(base, 'outside'), 'outside')
  await writeFile(at('inside'), 'inside')
})
afterEach(() => rm(base, { recursive: true }))

describe('a name that leads out', () => {
  const links: readonly [string, string, string][] = [
    ['a relative link', '../outside', 'link'],
    ['a link through its own folder', 'sub/../../outside', 'link'],
    ['a link to a folder', '..', 'link/outside'],
    ['a link to nothing', '../nothing', 'link'],
    ['an absolute link', '/etc/hostname', 'link'],
    ['a link into /dev', '/dev/null', 'link'],
    ['a link into /proc', '/proc/self/root', 'link/etc/hostname'],
    ['a link to itself', 'link', 'link'],
  ]
  test.each(links)('%s is refused, to read and to write', async (_, target, name) => {
    await mkdir(at('sub'))
    await symlink(target, at('link'))
    await expect(hold(name)).rejects.toThrow(InvalidError)
    await expect(hold(name, 'write')).rejects.toThrow(`The volume ${at(name)} is not of the back end default`)
    await expect(stat(path.join(base, 'nothing'))).rejects.toThrow('ENOENT')
  })

  test('another folder is refused, one with a similar name too', async () => {
    for (const name of [path.join(base, 'outside'), `${folder}-2/volume`, folder, '/etc/hostname']) {
      await expect(holdVolume(name, 'default', { folders: [folder] }, 'read')).rejects.toThrow('not served')
    }
  })
})

test('links that stay inside are followed', async () => {
  await mkdir(at('sub'))
  await symlink('../inside', at('sub', 'relative'))
  await symlink(at('sub'), at('absolute'))
  await using held = await hold('absolute/relative')
  expect(await readFile(held.path, 'utf8')).toBe('inside')
})

test('what is held stays the same whatever becomes of its name and its folders', async () => {
  await mkdir(at('sub'))
  await writeFile(at('sub', 'volume'), 'held')
  await using held = await hold('sub/volume', 'write')
  await rename(at('sub'), at('moved'))
  await symlink('..', at('sub'))
  await writeFile(path.join(base, 'volume'), 'outside')
  await writeFile(held.path, 'new')
  expect(await readFile(at('moved', 'volume'), 'utf8')).toBe('new')
  expect(await readFile(path.join(base, 'volume'), 'utf8')).toBe('outside')
})

test('what is missing is made to be written, for its owner alone, and taken back where it is still the same', async () => {
  await expect(hold('new')).rejects.toThrow(`There is no volume ${at('new')}`)
  await expect(hold('none/new', 'write')).rejects.toThrow('there is no folder none')
  await using held = await hold('new', 'write')
  expect((await stat(at('new'))).mode & 0o7777).toBe(0o600)
  await held.takeBack()
  await expect(stat(at('new'))).rejects.toThrow('ENOENT')
  await using again = await hold('new', 'write')
  await rename(at('inside'), at('new'))
  await again.takeBack()
  expect(await readFile(at('new'), 'utf8')).toBe('inside')
  await using there = await hold('new', 'write')
  await there.takeBack()
  expect(await readFile(at('new'), 'utf8')).toBe('inside')
})

test('a pipe, a socket and a folder are refused at once', async () => {
  await promisify(execFile)('mkfifo', [at('pipe')])
  await mkdir(at('folder'))
  for (const use of ['read', 'write'] as const) {
    await expect(hold('pipe', use)).rejects.toThrow('is a pipe')
    await expect(hold('folder', use)).rejects.toThrow(InvalidError)
  }
})

test('a folder that is swapped all the time never leads out', async () => {
  await mkdir(at('a'))
  await writeFile(at('a', 'outside'), 'inside')
  const stop = new AbortController()
  const swap = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await rename(at('a'), at('b'))
      await symlink('..', at('a'))
      await rm(at('a'))
      await rename(at('b'), at('a'))
    }
  }
  const swapper = swap()
  let held = 0
  for (let round = 0; round < 400; round += 1) {
    const one = await hold('a/outside').catch(() => undefined)
    if (one === undefined) continue
    held += 1
    expect(await readFile(one.path, 'utf8')).toBe('inside')
    await one[Symbol.asyncDispose]()
  }
  stop.abort()
  await swapper
  expect(held).toBeGreaterThan(0)
})

test('nothing is made in /dev, and a volume of Ceph keeps its name', async () => {
  const device = '/dev/no-such-volume-1'
  await expect(holdVolume(device, 'default', { folders: ['/dev'] }, 'write')).rejects.toThrow(
    'There is no device',
  )
  await expect(holdVolume('/dev/null', 'default', { folders: ['/dev'] }, 'write')).rejects.toThrow(
    InvalidError,
  )
  const backend = { pools: ['pool'] }
  await using held = await holdVolume('rbd:pool/image', 'default', backend, 'write')
  expect(held.path).toBe('rbd:pool/image')
  await expect(holdVolume('rbd:other/image', 'default', backend, 'read')).rejects.toThrow('not served')
})
