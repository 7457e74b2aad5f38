import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Unwrapper } from './unwrapper.ts'

let folder: string
const disk = randomBytes(200_000)

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'containerdisk-'))
  for (const name of ['disk', 'two/disk', 'gone/disk', 'links/disk', 'hard/disk', 'etc', 'none/data'])
    mkdirSync(path.join(folder, name), { recursive: true })
  writeFileSync(path.join(folder, 'disk/disk.img'), disk)
  writeFileSync(path.join(folder, 'etc/passwd'), 'qemu:x:107:107::/:\n')
  writeFileSync(path.join(folder, 'two/disk/a.img'), disk)
  writeFileSync(path.join(folder, 'two/disk/b.json'), disk)
  writeFileSync(path.join(folder, 'gone/disk/.wh.disk.img'), '')
  symlinkSync('/etc/passwd', path.join(folder, 'links/disk/disk.img'))
  writeFileSync(path.join(folder, 'hard/disk/disk.img'), disk)
  linkSync(path.join(folder, 'hard/disk/disk.img'), path.join(folder, 'hard/disk/other.img'))
  writeFileSync(path.join(folder, 'none/data/disk.img'), disk)
})
afterAll(() => rmSync(folder, { recursive: true }))

const tar = (below: string, ...names: string[]): Buffer =>
  execFileSync('tar', ['-C', path.resolve(folder, below), '-cf', '-', ...names], { maxBuffer: 2 ** 26 })

async function open(bytes: Uint8Array): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>()
  const unwrapper = new Unwrapper({
    imageId: 'i',
    expected: 'containerdisk',
    maxBytes: 1e7,
    open: ({ name = '' }) => {
      if (found.size > 0) throw new Error('a second disk')
      found.set(name, Buffer.alloc(0))
      return { write: (part) => void found.set(name, Buffer.concat([found.get(name) ?? part, part])) }
    },
  })
  try {
    for (let at = 0; at < bytes.length; at += 10_000) await unwrapper.write(bytes.subarray(at, at + 10_000))
    await unwrapper.end()
  } finally {
    await unwrapper.close()
  }
  return found
}

test.each([
  ['plain', (layer: Buffer) => layer],
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
] as const)('a layer has its disk below disk/: %s', async (_name, compress) => {
  for (const names of [['disk/disk.img'], ['./disk'], ['etc', 'disk'], ['disk', 'etc']]) {
    expect(await open(compress(tar('.', ...names)))).toEqual(new Map([['disk/disk.img', disk]]))
  }
})

test.each([
  ['two disks, whatever they are called', () => tar('two', 'disk'), 'a second disk'],
  ['a file that is taken away', () => tar('gone', 'disk'), 'takes files of the layers below it away'],
  ['a link', () => tar('links', 'disk'), 'something else than files'],
  ['a hard link', () => tar('hard', 'disk'), 'something else than files'],
  ['a device', () => tar('/dev', '--transform', 's,^,disk/,', 'null'), 'something else than files'],
  ['a disk as it is', () => disk, 'no tar archive'],
  ['a disk that is compressed', () => gzipSync(disk), 'no tar archive'],
  ['a layer that is compressed twice', () => gzipSync(gzipSync(tar('.', 'disk'))), 'no tar archive'],
  ['a layer that is cut off', () => tar('.', 'disk').subarray(0, 100_000), 'ends within a file'],
  ['nothing', () => Buffer.alloc(0), 'no tar archive'],
])('refused: %s', async (_what, make, reason) => {
  await expect(open(make())).rejects.toThrow(reason)
})

test('what is elsewhere is passed over', async () => {
  expect(await open(tar('none', 'data'))).toEqual(new Map())
  const named = tar('none', '--transform', 's,^data,disk/../data,', '-P', 'data/disk.img')
  expect([...(await open(named)).keys()]).toEqual(['disk/../data/disk.img'])
})
