import { constants } from 'node:fs'
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { holdFile, openSource } from './hold-file.ts'

let folder: string
const at = (name: string): string => path.join(folder, name)
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'hold-file-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('what is held is read, by this process and by a child, whatever takes its name', async () => {
  await writeFile(at('source'), 'judged')
  await symlink('source', at('link'))
  await using held = await holdFile(at('link'))
  await writeFile(at('other'), 'something else')
  await rename(at('other'), at('source'))
  expect(held).toMatchObject({ name: at('link'), kind: 'file', sizeBytes: 6 })
  const handle = await held.open()
  expect(await handle.readFile('utf8')).toBe('judged')
  await handle.close()
  expect((await execa('cat', [held.path])).stdout).toBe('judged')
})

test('a pipe, a socket, a character device and a folder are refused at once, each by its name', async () => {
  await execa('mkfifo', [at('pipe')])
  await mkdir(at('folder'))
  const server = createServer().listen(at('socket'))
  await new Promise((resolve) => {
    server.once('listening', resolve)
  })
  for (const [name, kind] of [
    [at('pipe'), 'a pipe'],
    [at('socket'), 'a socket'],
    [at('folder'), 'a folder'],
    ['/dev/null', 'a character device'],
  ] as const) {
    const failure = openSource(name)
    await expect(failure).rejects.toThrow(InvalidError)
    await expect(failure).rejects.toThrow(`${name} is ${kind}`)
  }
  server.close()
})

test('a file that has no size and bytes all the same is no source; one that is empty is', async () => {
  await expect(holdFile('/proc/self/status')).rejects.toThrow('/proc/self/status is made when it is read')
  for (const name of ['/proc/version', '/proc/self/mem', '/proc/self/pagemap']) {
    await expect(openSource(name)).rejects.toThrow(InvalidError)
  }
  await writeFile(at('empty'), '')
  await using held = await holdFile(at('empty'))
  expect(held.sizeBytes).toBe(0)
})

test('where no link is to be followed, a link is refused, also one to nothing', async () => {
  await writeFile(at('source'), '')
  await symlink('source', at('link'))
  await symlink('nothing', at('dangling'))
  await expect(holdFile(at('link'), { followLink: false })).rejects.toThrow('is a link')
  await expect(holdFile(at('dangling'), { followLink: false })).rejects.toThrow('is a link')
  await (await holdFile(at('source'), { followLink: false }))[Symbol.asyncDispose]()
})

test('the stamp tells every change, also one whose time was set back', async () => {
  const file = at('source')
  await writeFile(file, 'content')
  await utimes(file, 1, 1)
  await using held = await holdFile(file)
  const changes: (() => Promise<unknown>)[] = [
    async () => {
      await writeFile(file, 'CONTENT')
      await utimes(file, 1, 1)
    },
    () => truncate(file, 3),
    () => chmod(file, 0o644),
    () => link(file, at('second name')),
  ]
  for (const change of changes) {
    const before = await held.stamp()
    expect(await held.stamp()).toBe(before)
    await new Promise((resolve) => {
      setTimeout(resolve, 20)
    })
    await change()
    expect(await held.stamp()).not.toBe(before)
  }
})

test('a held file can be opened for writing', async () => {
  await writeFile(at('source'), 'x')
  await using held = await holdFile(at('source'))
  const handle = await held.open(constants.O_RDWR)
  await handle.write('y', 0)
  await handle.close()
  expect((await execa('cat', [at('source')])).stdout).toBe('y')
})
