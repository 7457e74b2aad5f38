import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { compileCacheFolder } from './compile-cache.ts'

const userId = process.getuid?.()
let home = ''
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'compile-cache-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

test("a folder of the user's own is made in the home folder", () => {
  const folder = path.join(home, '.cache/disk-image')
  expect(compileCacheFolder({ HOME: home }, userId)).toBe(folder)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  expect(compileCacheFolder({ HOME: home }, userId)).toBe(folder)
})

test('XDG_CACHE_HOME goes before the home folder, unless it is no absolute path', () => {
  const cache = path.join(home, 'elsewhere')
  mkdirSync(cache, { mode: 0o700 })
  expect(compileCacheFolder({ HOME: home, XDG_CACHE_HOME: cache }, userId)).toBe(
    path.join(cache, 'disk-image'),
  )
  expect(compileCacheFolder({ HOME: home, XDG_CACHE_HOME: 'cache' }, userId)).toBe(
    path.join(home, '.cache/disk-image'),
  )
})

test.each(['', '.cache', '.cache/disk-image'])('nothing is kept where others may write %j', (name) => {
  mkdirSync(path.join(home, '.cache/disk-image'), { recursive: true, mode: 0o700 })
  chmodSync(path.join(home, name), 0o770)
  expect(compileCacheFolder({ HOME: home }, userId)).toBeUndefined()
})

test("nothing is kept in somebody else's home folder, where none is named, or where it is no folder", () => {
  expect(compileCacheFolder({ HOME: home }, (userId ?? 0) + 1)).toBeUndefined()
  expect(existsSync(path.join(home, '.cache'))).toBe(false)
  expect(compileCacheFolder({}, userId)).toBeUndefined()
  expect(compileCacheFolder({ HOME: path.join(home, 'none') }, userId)).toBeUndefined()
  writeFileSync(path.join(home, '.cache'), '')
  expect(compileCacheFolder({ HOME: home }, userId)).toBeUndefined()
})

test('a link to where others may write is no safe folder', () => {
  mkdirSync(path.join(home, 'shared'))
  chmodSync(path.join(home, 'shared'), 0o777)
  symlinkSync(path.join(home, 'shared'), path.join(home, '.cache'))
  expect(compileCacheFolder({ HOME: home }, userId)).toBeUndefined()
})
