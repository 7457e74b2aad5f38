import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { prepareFiles, sandboxCommand } from './sandbox.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sandbox-'))
})
afterEach(() => rm(folder, { recursive: true }))

const settings = { program: '/usr/bin/bwrap', asRoot: true, overrideFilePermissions: false, environment: {} }

function pairs(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (word === option ? [argv[index + 1] ?? ''] : []))
}

test('no network, own processes, no capabilities, dies with its parent', () => {
  const argv = sandboxCommand(settings, [])
  for (const option of ['--die-with-parent', '--unshare-net', '--unshare-pid', '--unshare-ipc']) {
    expect(argv).toContain(option)
  }
  expect(pairs(argv, '--cap-drop')).toEqual(['ALL'])
  expect(pairs(argv, '--cap-add')).toEqual([])
  expect(pairs(argv, '--bind')).toEqual([])
  expect(argv.at(-1)).toBe('--')
})

test('one capability where root has to touch files of others', () => {
  const argv = sandboxCommand({ ...settings, overrideFilePermissions: true }, [])
  expect(pairs(argv, '--cap-add')).toEqual(['CAP_DAC_OVERRIDE'])
})

test('an ordinary user gets a user namespace', () => {
  expect(sandboxCommand({ ...settings, asRoot: false }, [])).toContain('--unshare-user')
})

test('each path is bound with what is done to it', () => {
  const argv = sandboxCommand(settings, [
    { path: '/a', mode: 'read' },
    { path: '/b', mode: 'write' },
    { path: '/dev/loop0', mode: 'device' },
  ])
  expect(pairs(argv, '--ro-bind')).toEqual(['/a'])
  expect(pairs(argv, '--bind')).toEqual(['/b'])
  expect(pairs(argv, '--dev-bind')).toEqual(['/dev/loop0'])
})

test('a file to be written is made, 0600; the same path read and written is writable', async () => {
  const source = path.join(folder, 'source')
  const target = path.join(folder, 'target')
  await writeFile(source, '')
  const owner = (await stat(source)).uid
  const prepared = await prepareFiles({ read: [source, target], write: [target] }, owner)
  expect(prepared.created).toEqual([target])
  expect(prepared.foreign).toBe(false)
  expect(prepared.bindings).toEqual([
    { path: source, mode: 'read' },
    { path: target, mode: 'write' },
  ])
  expect((await stat(target)).mode & 0o777).toBe(0o600)
})

test("somebody else's file is told", async () => {
  const source = path.join(folder, 'source')
  await writeFile(source, '')
  const prepared = await prepareFiles({ read: [source] }, (await stat(source)).uid + 1)
  expect(prepared.foreign).toBe(true)
})

test('devices are bound as devices, also through a link', async () => {
  await symlink('/dev/null', path.join(folder, 'link'))
  const prepared = await prepareFiles({ write: [path.join(folder, 'link')] }, 0)
  expect(prepared.bindings.map(({ mode }) => mode)).toEqual(['device'])
})

test('nothing is made under /dev, and a relative path is refused', async () => {
  await expect(prepareFiles({ write: ['/dev/not-there-1'] }, 0)).rejects.toThrow(InvalidError)
  await expect(prepareFiles({ write: ['/dev/../dev/not-there-1'] }, 0)).rejects.toThrow(InvalidError)
  await expect(stat('/dev/not-there-1')).rejects.toThrow('ENOENT')
  await expect(prepareFiles({ read: ['image'] }, 0)).rejects.toThrow(InvalidError)
})

test('what is missing is not bound', async () => {
  expect((await prepareFiles({ read: [path.join(folder, 'none')] }, 0)).bindings).toEqual([])
})

test('through a root helper a file that was made is another user’s', async () => {
  const made = await prepareFiles({ write: [path.join(folder, 'new')] }, 0, 1000)
  expect(made).toMatchObject({ created: [path.join(folder, 'new')], foreign: true })
})

test('a folder that does not exist is named', async () => {
  await expect(prepareFiles({ write: [path.join(folder, 'none', 'file')] }, 0)).rejects.toThrow(/none\/file/)
})
