import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createDirectoryImageService, createImageUtils } from '@disk-image/image-utils'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runExample } from '../run.testing.ts'
import { VolumeBackup } from './backup.ts'

let directory: string
let store: string
let volume: string

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'disk-image-example-'))
  store = path.join(directory, 'backups')
  volume = path.join(directory, 'volume')
  const disk = Buffer.alloc(8 * 1024 ** 2)
  randomBytes(300_000).copy(disk, 1_000_000)
  await writeFile(volume, disk)
})

afterEach(() => rm(directory, { recursive: true, force: true }))

test('a volume goes into the folder, and comes back as it was', async () => {
  const before = await readFile(volume)
  const backedUp = await runExample('volume-backup', ['backup', store, volume])
  expect(backedUp).toMatchObject({ stderr: '', exitCode: 0 })
  const [, imageId = ''] = backedUp.stdout.trim().split(' ')
  const listed = await runExample('volume-backup', ['list', store, volume])
  expect(listed.stdout).toMatch(new RegExp(`^${imageId} volume 20`))
  await writeFile(volume, Buffer.alloc(8 * 1024 ** 2, 0xff))
  const restored = await runExample('volume-backup', ['restore', store, imageId, volume])
  expect(restored).toMatchObject({ stderr: '', exitCode: 0 })
  expect((await readFile(volume)).equals(before)).toBe(true)
})

test('only so many generations stay, and a failed backup leaves none', async () => {
  const imageService = createDirectoryImageService({ directory: store })
  const imageUtils = createImageUtils({ imageService }, { imageConversionDir: path.join(directory, 'tmp') })
  const backup = new VolumeBackup(imageUtils, imageService, 2)
  const ids: string[] = []
  for (let count = 0; count < 3; count += 1) ids.push(await backup.backUp(volume))
  expect((await backup.list(volume)).map(({ id }) => id)).toEqual([ids[2], ids[1]])
  await expect(backup.backUp(path.join(directory, 'missing'))).rejects.toThrow('missing')
  expect((await readdir(store)).filter((name) => name.endsWith('.json'))).toHaveLength(2)
})
