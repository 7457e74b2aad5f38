import { chmod, chown, lstat, mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTemporaryFiles } from './create-temporary-files.ts'
import { preparePrivateFolder } from './private-folder.ts'

let base: string
const at = (...names: string[]): string => path.join(base, ...names)
const prepare = (name: string): Promise<void> => preparePrivateFolder(name, 'test folder')
const asRoot = process.geteuid?.() === 0
const somebody = 12_345

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'private-folder-'))
})
afterEach(() => rm(base, { recursive: true }))

test('what is missing is made, for its owner alone, with every folder above it', async () => {
  await prepare(at('a', 'b', 'c'))
  for (const name of [at('a'), at('a', 'b'), at('a', 'b', 'c')]) {
    expect((await stat(name)).mode & 0o7777).toBe(0o700)
  }
})

test.each([0o777, 0o770, 0o702, 0o720])('a folder of mode %o is refused', async (mode) => {
  await mkdir(at('open'))
  await chmod(at('open'), mode)
  await expect(prepare(at('open'))).rejects.toThrow(InvalidError)
  await expect(prepare(at('open'))).rejects.toThrow(`others may write to ${at('open')}`)
  // What is in it could be moved away and replaced.
  await expect(prepare(at('open', 'inside'))).rejects.toThrow(`others may write to ${at('open')}`)
})

test('a folder as /tmp is, where nobody can touch what is another’s, is good', async () => {
  await mkdir(at('sticky'))
  await chmod(at('sticky'), 0o1777)
  await prepare(at('sticky', 'inside'))
})

test('a link in its place is refused, and nothing is made where it leads', async () => {
  await mkdir(at('elsewhere'))
  await symlink('elsewhere', at('link'))
  await symlink('nowhere', at('dangling'))
  await expect(prepare(at('link'))).rejects.toThrow(`${at('link')} is a link`)
  await expect(prepare(at('dangling'))).rejects.toThrow('is a link')
  await expect(lstat(at('nowhere'))).rejects.toThrow('ENOENT')
})

test('a link above it that is this user’s is followed; one that goes round in circles is not', async () => {
  await mkdir(at('real'))
  await symlink('../real', at('real', 'again'))
  await symlink('real', at('link'))
  await prepare(at('link', 'again', 'inside'))
  expect((await stat(at('real', 'inside'))).isDirectory()).toBe(true)
  await symlink('circle', at('circle'))
  await expect(prepare(at('circle', 'inside'))).rejects.toThrow('circle')
})

describe.runIf(asRoot)('where another user is at work', () => {
  test('a folder that is theirs is refused, whatever its mode, and what is in it', async () => {
    await mkdir(at('theirs'), { mode: 0o700 })
    await chown(at('theirs'), somebody, somebody)
    await expect(prepare(at('theirs'))).rejects.toThrow(`belongs to user ${somebody}`)
    await expect(prepare(at('theirs', 'inside'))).rejects.toThrow(`belongs to user ${somebody}`)
  })

  test('their link in a folder for everybody is not followed', async () => {
    await mkdir(at('shared'))
    await chmod(at('shared'), 0o1777)
    await mkdir(at('mine'), { mode: 0o700 })
    await symlink(at('mine'), at('shared', 'link'))
    await import('node:fs/promises').then(({ lchown }) => lchown(at('shared', 'link'), somebody, somebody))
    await expect(prepare(at('shared', 'link', 'inside'))).rejects.toThrow(`belongs to user ${somebody}`)
  })

  test('no temporary file is made, none is removed', async () => {
    const files = createTemporaryFiles({ directory: at('theirs') })
    await mkdir(at('theirs'), { mode: 0o777 })
    await chown(at('theirs'), somebody, somebody)
    await expect(files.createFile()).rejects.toThrow(InvalidError)
    await expect(files.file()).rejects.toThrow(InvalidError)
    await expect(files.temporaryDirectory()).rejects.toThrow(InvalidError)
    // Once it is right, it is used.
    await chown(at('theirs'), 0, 0)
    await chmod(at('theirs'), 0o700)
    await files.createFile({ suffix: 'x' })
    await files.cleanup('x')
  })
})
