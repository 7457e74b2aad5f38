import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Unwrapper } from './unwrapper.ts'

let folder: string
const disk = Buffer.concat([
  randomBytes(5000),
  Buffer.alloc(3_000_000),
  randomBytes(70_000),
  Buffer.alloc(2_000_000),
])

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tar-disk-'))
  writeFileSync(path.join(folder, 'disk.raw'), disk)
  // Digs the holes.
  execFileSync('cp', ['--sparse=always', path.join(folder, 'disk.raw'), path.join(folder, 'holes')])
  execFileSync('mv', [path.join(folder, 'holes'), path.join(folder, 'disk.raw')])
  writeFileSync(path.join(folder, 'another'), 'x')
})
afterAll(() => rmSync(folder, { recursive: true }))

const tar = (...args: string[]): Buffer =>
  execFileSync('tar', ['-C', folder, '-cf', '-', ...args], { maxBuffer: 2 ** 26 })

async function unpack(bytes: Uint8Array, chunk: number, maxBytes = 1e9): Promise<Buffer> {
  const out: Buffer[] = []
  const names: (string | undefined)[] = []
  const sink = new Unwrapper({
    imageId: 'i',
    expected: 'any',
    maxBytes,
    open: ({ name }) => {
      names.push(name)
      if (names.length > 1) throw new Error(`a second one: ${names.join()}`)
      return { write: (piece) => void out.push(Buffer.from(piece)) }
    },
  })
  for (let at = 0; at < bytes.length; at += chunk) await sink.write(bytes.subarray(at, at + chunk))
  await sink.end()
  return Buffer.concat(out)
}

test.each([
  ['--format=v7'],
  ['--format=ustar'],
  ['--format=gnu'],
  ['--format=oldgnu', '-S'],
  ['--format=gnu', '-S'],
  ['--format=pax'],
  ['--format=pax', '-S'],
])('the one file of an archive is the disk: %s %s', async (...options) => {
  const archive = tar(...options, 'disk.raw')
  for (const chunk of [511, 10_240, 100_000_000])
    expect((await unpack(archive, chunk)).equals(disk)).toBe(true)
  expect((await unpack(tar(...options, './disk.raw'), 4096)).equals(disk)).toBe(true)
})

test('what is no archive goes through', async () => {
  for (const bytes of [Buffer.alloc(0), randomBytes(100), disk]) {
    expect((await unpack(bytes, 300)).equals(bytes)).toBe(true)
  }
})

test.each<[string, () => Buffer]>([
  [
    'a link',
    () => {
      execFileSync('ln', ['-sf', '/etc/passwd', path.join(folder, 'link')])
      return tar('link')
    },
  ],

  ['half of a file', () => tar('disk.raw').subarray(0, 1_000_000)],
  ['outdated holes', () => tar('--format=pax', '-S', '--sparse-version=0.1', 'disk.raw')],
])('everything else is refused: %s', async (_name, make) => {
  await expect(unpack(make(), 4096)).rejects.toMatchObject({ rule: 'archive' })
})

/** Changes some bytes of a header, and makes its sum right. */
function edited(archive: Buffer, at: number, changes: Readonly<Record<number, string>>): Buffer {
  const bytes = Buffer.from(archive)
  for (const [place, text] of Object.entries(changes)) bytes.write(text, at + Number(place), 'latin1')
  bytes.fill(' ', at + 148, at + 156)
  const sum = bytes.subarray(at, at + 512).reduce((all, byte) => all + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1')
  return bytes
}

// Each is read otherwise by GNU's tar.
test.each<[string, () => Buffer]>([
  ['a size with a blank that is none', () => edited(tar('another', 'disk.raw'), 1024, { 135: '\xa0' })],
  ['a long name without one', () => edited(tar('another'), 0, { 156: 'L', 124: '00000000000' })],
  ['attributes of one file for all', () => edited(tar('--format=pax', '-S', 'disk.raw'), 0, { 156: 'g' })],
  [
    'attributes before an older header',
    () => edited(tar('--format=pax', '-S', 'disk.raw'), 1024, { 257: 'untar' }),
  ],
  [
    'a sparse file in POSIX format',
    () => edited(tar('--format=oldgnu', '-S', 'disk.raw'), 0, { 257: 'ustar\x0000' }),
  ],
  [
    'a sparse file of another size than its map ends at',
    () => edited(tar('--format=oldgnu', '-S', 'disk.raw'), 0, { 483: '00030000000' }),
  ],
  ['a map that goes on perhaps', () => edited(tar('--format=oldgnu', '-S', 'disk.raw'), 0, { 482: '0' })],
  ['a map whose number never ends', () => tar('--format=pax', '-S', 'disk.raw').fill('1', 1536, 3072)],
  [
    'attributes whose last line goes on behind them',
    () => edited(tar('--format=pax', '-S', 'disk.raw'), 0, { 124: '00000000074' }),
  ],
  ['attributes with a line that has no end', () => tar('--format=pax', '-S', 'disk.raw').fill(' ', 533, 534)],
  [
    'attributes without end',
    () => {
      const one = tar('--format=pax', '-S', 'disk.raw').subarray(0, 1024)
      return Buffer.concat(Array.from({ length: 200 }, () => one))
    },
  ],
])('what readers disagree about is refused: %s', async (_name, make) => {
  await expect(unpack(make(), 4096)).rejects.toMatchObject({ rule: 'archive' })
})

test('holes count for the size that a disk may have', async () => {
  await expect(unpack(tar('-S', 'disk.raw'), 4096, disk.length - 1)).rejects.toMatchObject({
    rule: 'decompressed-size',
  })
  expect((await unpack(tar('-S', 'disk.raw'), 4096, disk.length)).length).toBe(disk.length)
})

test('damaged maps of holes are refused, and none takes long', async () => {
  const archives = [tar('--format=oldgnu', '-S', 'disk.raw'), tar('--format=pax', '-S', 'disk.raw')]
  for (const archive of archives) {
    for (let at = 0; at < 2048; at += 13) {
      const bytes = Buffer.from(archive)
      bytes[at] = (bytes[at] ?? 0) ^ 0x11
      const size = await unpack(bytes, 65_536, 1e8).then(
        (out) => out.length,
        () => 0,
      )
      expect(size).toBeLessThanOrEqual(1e8)
    }
  }
})
