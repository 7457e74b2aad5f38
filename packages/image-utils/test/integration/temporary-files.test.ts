import { spawn } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createImageUtils, type ImageUtils } from '../../src/index.ts'
import { createWorkspace, type Workspace } from './support.ts'

let work: Workspace
let imageUtils: ImageUtils

beforeEach(async () => {
  work = await createWorkspace()
  imageUtils = createImageUtils({ imageService: work.store }, { imageConversionDir: work.conversionDir })
})
afterEach(() => work[Symbol.asyncDispose]())

test('files have prefix, suffix and mode 0600, in a folder of mode 0700', async () => {
  const file = await imageUtils.createTemporaryFile({ prefix: 'a_', suffix: '@backend' })
  expect(path.dirname(file)).toBe(work.conversionDir)
  expect(path.basename(file)).toMatch(/^a_.*@backend$/)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect((await stat(work.conversionDir)).mode & 0o777).toBe(0o700)
})

test('a back end’s files are cleaned up, and nobody else’s', async () => {
  await imageUtils.createTemporaryFile({ suffix: 'host@lvm' })
  const other = await imageUtils.createTemporaryFile({ suffix: 'host@nfs' })
  await imageUtils.cleanupTemporaryFile('host@lvm')
  expect(await work.leftovers()).toEqual([path.basename(other)])
})

test('handles let go of what they made', async () => {
  {
    await using file = await imageUtils.temporaryFile({ suffix: 'x' })
    await using folder = await imageUtils.temporaryDir()
    expect((await stat(folder.path)).isDirectory()).toBe(true)
    expect(await work.leftovers()).toHaveLength(2)
    expect((await stat(file.path)).isFile()).toBe(true)
  }
  expect(await work.leftovers()).toEqual([])
})

const program = `
  const { createImageUtils } = await import(process.argv[1])
  const imageUtils = createImageUtils({}, { imageConversionDir: process.argv[2] })
  await imageUtils.createTemporaryFile({ suffix: 'gone' })
  await imageUtils.temporaryDir()
  console.log('made')
  setInterval(() => {}, 1000)
`

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'what a process ended by %s left is found and removed; of one that runs, nothing',
  async (signal) => {
    const mine = await imageUtils.createTemporaryFile()
    const module = new URL('../../src/index.ts', import.meta.url).href
    const child = spawn(
      process.execPath,
      ['--conditions=@disk-image/source', '--input-type=module', '-e', program, module, work.conversionDir],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    await new Promise((resolve) => child.stdout.once('data', resolve))
    expect(await imageUtils.cleanTemporaryFiles()).toEqual([])
    expect(await readdir(work.conversionDir)).toHaveLength(3)
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await exited
    const removed = await imageUtils.cleanTemporaryFiles()
    expect(removed.length).toBeLessThanOrEqual(2)
    expect(await work.leftovers()).toEqual([path.basename(mine)])
  },
)
