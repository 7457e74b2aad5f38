import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTemporaryFiles } from './create-temporary-files.ts'
import { findLeftovers, removeLeftovers } from './leftovers.ts'
import { hostTag, isAlive, startTicks, parseTemporaryName, temporaryName } from './temporary-name.ts'

let base: string
let directory: string
beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'temporary-'))
  directory = path.join(base, 'conversion', 'here')
})
afterEach(() => rm(base, { recursive: true }))

async function modeOf(name: string): Promise<number> {
  return (await stat(name)).mode & 0o777
}

test('the directory is made when it is first needed, for its owner alone', async () => {
  const files = createTemporaryFiles({ directory })
  expect(await readdir(base)).toEqual([])
  await files.createFile()
  expect(await modeOf(directory)).toBe(0o700)
})

test('a file keeps prefix and suffix, is empty, and is its owner’s alone', async () => {
  const files = createTemporaryFiles({ directory })
  const file = await files.createFile({ prefix: 'image_download_', suffix: 'host@lvm' })
  expect(path.dirname(file)).toBe(directory)
  expect(path.basename(file)).toMatch(/^image_download_.*host@lvm$/)
  expect(await modeOf(file)).toBe(0o600)
  expect((await stat(file)).size).toBe(0)
})

test('handles remove what they made, also twice, also what was put into a directory', async () => {
  const files = createTemporaryFiles({ directory })
  {
    await using file = await files.file({ suffix: '.qcow2' })
    await using folder = await files.temporaryDirectory()
    expect(await modeOf(folder.path)).toBe(0o700)
    await writeFile(path.join(folder.path, 'inside'), 'x')
    await file[Symbol.asyncDispose]()
  }
  expect(await readdir(directory)).toEqual([])
})

test('names are never the same', async () => {
  const files = createTemporaryFiles({ directory })
  const names = await Promise.all(Array.from({ length: 50 }, () => files.createFile()))
  expect(new Set(names).size).toBe(50)
})

test.each([{ prefix: '../x' }, { suffix: '/etc/passwd' }, { suffix: '\0' }, { prefix: 'x'.repeat(240) }])(
  'a name that leads elsewhere is refused: %j',
  async (options) => {
    const files = createTemporaryFiles({ directory })
    await expect(files.createFile(options)).rejects.toThrow(InvalidError)
  },
)

test('a relative directory is refused', () => {
  expect(() => createTemporaryFiles({ directory: 'conversion' })).toThrow(InvalidError)
})

test('cleanup removes what ends with the suffix, and only what is ours', async () => {
  const files = createTemporaryFiles({ directory })
  const mine = await files.createFile({ suffix: 'host@lvm' })
  const other = await files.createFile({ suffix: 'host@nfs' })
  await writeFile(path.join(directory, 'important host@lvm'), '')
  await files.cleanup('host@lvm')
  const left = await readdir(directory)
  expect(left).not.toContain(path.basename(mine))
  expect(left.sort()).toEqual([path.basename(other), 'important host@lvm'].sort())
})

test('cleanup of a directory that is not there is no error', async () => {
  await expect(createTemporaryFiles({ directory }).cleanup('x')).resolves.toBeUndefined()
})

test('names tell their maker', () => {
  const owner = { hostTag: 'a1b2c3', processId: 4711, startTicks: 123_456_789 }
  expect(parseTemporaryName(temporaryName(owner, 'p-', '.s-0'))).toEqual(owner)
  expect(parseTemporaryName('tmpabc123')).toBeUndefined()
  expect(parseTemporaryName('disk-image-a1b2c3-x-1-0000000000000000')).toBeUndefined()
})

test('a process is known by id and start', () => {
  const started = startTicks(process.pid) ?? 0
  expect(started).toBeGreaterThan(0)
  expect(isAlive(process.pid, started)).toBe(true)
  expect(isAlive(process.pid, started - 1)).toBe(false)
  expect(startTicks(2 ** 22 + 1)).toBeUndefined()
})

const script = `
  const { createTemporaryFiles } = await import(process.argv[1])
  const files = createTemporaryFiles({ directory: process.argv[2] })
  console.log(await files.createFile({ suffix: 'killed' }))
  console.log((await files.temporaryDirectory({ suffix: 'killed' })).path)
  setInterval(() => {}, 1000)
`

test('what a killed process left is found and removed, and nothing else', async () => {
  await using files = {
    own: createTemporaryFiles({ directory }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const alive = await files.own.createFile({ suffix: 'alive' })
  const module = new URL('create-temporary-files.ts', import.meta.url).href
  const args = ['--conditions=@disk-image/source', '--input-type=module', '-e', script, module, directory]
  const child = execa(process.execPath, args, { reject: false })
  const made: string[] = []
  for await (const line of child) {
    made.push(line)
    if (made.length === 2) child.kill('SIGKILL')
  }
  await child
  const start = (startTicks(process.pid) ?? 1) - 1
  const reused = temporaryName(
    { hostTag: hostTag(), processId: process.pid, startTicks: start },
    '',
    'reused',
  )
  const elsewhere = temporaryName(
    { hostTag: '000000', processId: 2 ** 22 + 1, startTicks: 1 },
    '',
    'elsewhere',
  )
  await writeFile(path.join(directory, reused), 'abc')
  await writeFile(path.join(directory, elsewhere), '')
  await writeFile(path.join(directory, 'unrelated'), '')
  await mkdir(path.join(base, 'safe'))
  await writeFile(path.join(base, 'safe', 'file'), '')
  await symlink(path.join(base, 'safe'), path.join(made[1] ?? '', 'link'))

  const found = await findLeftovers({ directory })
  expect(found.map((leftover) => leftover.path).sort()).toEqual(
    [...made, path.join(directory, reused)].sort(),
  )
  expect(found.find((leftover) => leftover.path.endsWith('reused'))).toMatchObject({
    kind: 'file',
    sizeBytes: 3,
  })
  expect(await findLeftovers({ directory, suffix: 'reused' })).toHaveLength(1)

  expect(await removeLeftovers({ directory })).toHaveLength(3)
  expect((await readdir(directory)).sort()).toEqual([path.basename(alive), elsewhere, 'unrelated'].sort())
  expect(await readdir(path.join(base, 'safe'))).toEqual(['file'])
})
