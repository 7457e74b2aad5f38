import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import {
  type ByteSink,
  ImageNotFoundError,
  type ImageService,
  InvalidError,
  silentLogger,
} from '@disk-image/core'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDirectoryImageService } from './directory-image-service.ts'

let base: string
let store: ImageService
const warnings: string[] = []
const at = (...names: string[]): string => path.join(base, ...names)
const entry = (name: string): string => at('store', name)

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'odd-entries-'))
  await mkdir(at('store'))
  warnings.length = 0
  const logger = {
    ...silentLogger,
    warn: (_: string, fields: Readonly<Record<string, unknown>> = {}) =>
      warnings.push(String(fields['file'])),
  }
  store = createDirectoryImageService({ directory: at('store'), logger })
  await writeFile(at('outside'), 'a file of the host')
})
afterEach(() => rm(base, { recursive: true }))

/** A record whose data is whatever is put beside it. */
async function record(id: string): Promise<void> {
  await writeFile(entry(`${id}.json`), JSON.stringify({ status: 'active', disk_format: 'raw', size: 18 }))
}

async function download(id: string): Promise<string> {
  let text = ''
  const sink: ByteSink = { write: async (chunk) => void (text += Buffer.from(chunk).toString()) }
  await store.download({}, id, sink)
  return text
}

const oddities: Readonly<Record<string, (file: string) => Promise<unknown>>> = {
  'a link to a file': (file) => symlink(at('outside'), file),
  'a link to a file of the store': async (file) => {
    await writeFile(entry('neighbour'), 'another image')
    await symlink('neighbour', file)
  },
  'a link to an endless device': (file) => symlink('/dev/zero', file),
  'a pipe': (file) => promisify(execFile)('mkfifo', [file]),
  'a folder': (file) => mkdir(file),
}

test.each(Object.entries(oddities))('%s in the place of the data is never read', async (_, make) => {
  await record('odd')
  await make(entry('odd.data'))
  await expect(download('odd')).rejects.toThrow(InvalidError)
  await expect(store.readRange?.({}, 'odd', 0, 100)).rejects.toThrow(InvalidError)
})

test.each(Object.entries(oddities))('%s in the place of a record hides no other', async (_, make) => {
  await record('good')
  await make(entry('odd.json'))
  expect((await store.detail({})).map(({ id }) => id)).toEqual(['good'])
  expect(warnings).toEqual([entry('odd.json')])
  await expect(store.show({}, 'odd')).rejects.toThrow(InvalidError)
  // Nor is it taken for a free place.
  await expect(store.create({}, { id: 'odd' })).rejects.toThrow(InvalidError)
})

test.each([
  ['not JSON', '{'],
  ['a list', '[]'],
  ['empty', ''],
  ['nested without end', '['.repeat(100_000)],
  ['deep in its properties', `{"properties":{"a":${'['.repeat(5000)}${']'.repeat(5000)}}}`],
  ...['"7"', '-1', '1.5', '1e400', '{}', 'true', '9007199254740993'].map((size): [string, string] => [
    `of size ${size}`,
    `{"size":${size}}`,
  ]),
  ['of a status that is none', '{"status":["active"]}'],
  ['of a hash that is none', '{"os_hash_value":{"a":1}}'],
  ['of tags that are none', '{"tags":[1]}'],
])('a record that is %s hides no other', async (_, text) => {
  await record('good')
  await writeFile(entry('odd.json'), text)
  await expect(store.show({}, 'odd')).rejects.toThrow(InvalidError)
  await writeFile(entry('odd.json'), text)
  await writeFile(entry('-.json'), '{}')
  await writeFile(entry('.json'), '{}')
  expect((await store.detail({})).map(({ id }) => id)).toEqual(['good'])
})

test('an image with a folder in the place of its data is not half deleted', async () => {
  await record('odd')
  await mkdir(entry('odd.data'))
  await expect(store.delete({}, 'odd')).rejects.toThrow('is a folder')
  expect((await store.show({}, 'odd')).id).toBe('odd')
  await rm(entry('odd.data'), { recursive: true })
  await symlink(at('outside'), entry('odd.data'))
  await store.delete({}, 'odd')
  expect(await readFile(at('outside'), 'utf8')).toBe('a file of the host')
})

test.each(['a link to nothing', 'a pipe', 'a file'])(
  '%s in the place of the folder is told so',
  async (kind) => {
    const directory = at('place')
    if (kind === 'a file') await writeFile(directory, '')
    else if (kind === 'a pipe') await promisify(execFile)('mkfifo', [directory])
    else await symlink('nothing', directory)
    const images = createDirectoryImageService({ directory })
    await expect(images.create({}, {})).rejects.toThrow(`The image folder ${directory} is no folder.`)
    // Behind a link to nothing there is nothing to list.
    const listed = await images.detail({}).catch((error: unknown) => error)
    expect(kind === 'a link to nothing' ? listed : listed instanceof InvalidError).toEqual(
      kind === 'a link to nothing' ? [] : true,
    )
  },
)

test('a record that is far too large is refused unread', async () => {
  await writeFile(entry('large.json'), '{')
  await truncate(entry('large.json'), 2 ** 40)
  await expect(store.show({}, 'large')).rejects.toThrow('too large')
})

test('what is stored does not follow a link that was laid for it', async () => {
  await symlink(at('outside'), entry('new.data'))
  const data = {
    async *open() {
      yield Buffer.from('new')
    },
  }
  await store.create({}, { id: 'new', disk_format: 'raw' }, { data })
  expect(await readFile(at('outside'), 'utf8')).toBe('a file of the host')
  expect(await download('new')).toBe('new')
  expect((await readdir(at('store'))).toSorted()).toEqual(['new.data', 'new.json'])
})

test('the record of an image that is gone is not found', async () => {
  await expect(store.show({}, 'none')).rejects.toThrow(ImageNotFoundError)
  await expect(access(entry('none.json'))).rejects.toThrow('ENOENT')
})

test.each(['x.partial', 'x.disk-image-0a1b2c-4711-1xyz-0123456789abcdef'])(
  'a name that is made up for a file in the making is no id: %s',
  async (id) => {
    await expect(store.create({}, { id })).rejects.toThrow(ImageNotFoundError)
    await expect(store.show({}, id)).rejects.toThrow(ImageNotFoundError)
  },
)
