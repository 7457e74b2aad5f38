import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EnvelopeName, Unwrapper, type UnwrapperOptions } from './unwrapper.ts'

let folder: string
const first = randomBytes(700_000)
const second = randomBytes(5000)
const ovf = (files: readonly string[], more = ''): string =>
  `<Envelope xmlns:ovf="o"><References>${files
    .map((file, index) => `<File ovf:id="f${index}" ovf:href="${file}" ${more}/>`)
    .join('')}</References><DiskSection>${files
    .map((_, index) => `<Disk ovf:diskId="d${index}" ovf:fileRef="f${index}" ovf:capacity="1048576"/>`)
    .join('')}</DiskSection></Envelope>`

const put = (name: string, bytes: string | Uint8Array): void => writeFileSync(path.join(folder, name), bytes)
const digest = (algorithm: string, bytes: string | Uint8Array): string =>
  createHash(algorithm).update(bytes).digest('hex')
const tar = (...args: string[]): Buffer =>
  execFileSync('tar', ['-C', folder, '-cf', '-', ...args], { maxBuffer: 2 ** 26 })

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'archive-'))
  put('a.vmdk', first)
  put('b.vmdk', second)
  put('both.ovf', ovf(['a.vmdk', 'b.vmdk']))
  put('one.ovf', ovf(['a.vmdk']))
  put('m.nvram', 'variables')
  put('m.cert', 'certificate')
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Unpacked {
  readonly disks: Readonly<Record<string, Buffer>>
  readonly opened: readonly EnvelopeName[]
  readonly unwrapper: Unwrapper
}

async function unpack(
  bytes: Uint8Array,
  chunk = 65_536,
  options: Partial<UnwrapperOptions> = {},
): Promise<Unpacked> {
  const parts: Record<string, Buffer[]> = {}
  const unwrapper = new Unwrapper({
    imageId: 'i',
    expected: 'any',
    maxBytes: 1e9,
    open: ({ name = '-' }) => {
      const own: Buffer[] = (parts[name] = [])
      return { write: (piece) => void own.push(Buffer.from(piece)) }
    },
    ...options,
  })
  try {
    for (let at = 0; at < bytes.length; at += chunk) await unwrapper.write(bytes.subarray(at, at + chunk))
    await unwrapper.end()
  } finally {
    await unwrapper.close()
  }
  const disks = Object.fromEntries(Object.entries(parts).map(([name, own]) => [name, Buffer.concat(own)]))
  return { disks, opened: unwrapper.opened, unwrapper }
}

describe('an OVA', () => {
  test.each(['--format=ustar', '--format=gnu', '--format=pax', '--format=v7'])(
    'gives each of its disks, with what its descriptor says: %s',
    async (format) => {
      const bytes = tar(format, 'both.ovf', 'a.vmdk', 'm.nvram', 'b.vmdk', 'm.cert')
      for (const chunk of [333, 10_240, 10_000_000]) {
        const { disks, opened, unwrapper } = await unpack(bytes, chunk)
        expect(disks).toEqual({ 'a.vmdk': first, 'b.vmdk': second })
        expect(opened).toEqual(['tar'])
        expect(unwrapper.ovf?.disks).toHaveLength(2)
        expect([unwrapper.hasManifest, unwrapper.hasCertificate]).toEqual([false, true])
      }
    },
  )

  const manifest = (algorithm: string, name: string, file: Uint8Array | string, disk: Uint8Array): string =>
    `${algorithm}(${name})= ${digest(algorithm, file)}\n${algorithm}(a.vmdk)= ${digest(algorithm, disk)}\n`

  test.each([
    ['SHA1', ['one.ovf', 'one.mf', 'a.vmdk']],
    ['SHA256', ['one.ovf', 'one.mf', 'a.vmdk']],
    ['SHA512', ['one.ovf', 'one.mf', 'a.vmdk']],
    ['SHA1', ['one.ovf', 'a.vmdk', 'one.mf']],
    ['SHA256', ['./one.ovf', './a.vmdk', './one.mf']],
    ['SHA512', ['one.ovf', 'a.vmdk', 'one.mf']],
  ])('is compared with its manifest: %s in %s', async (algorithm, order) => {
    const descriptor = ovf(['a.vmdk'])
    put('one.mf', manifest(algorithm, 'one.ovf', descriptor, first))
    const { disks, unwrapper } = await unpack(tar(...order))
    expect(disks).toEqual({ 'a.vmdk': first })
    expect(unwrapper.hasManifest).toBe(true)
    put('one.mf', manifest(algorithm, 'one.ovf', descriptor, second))
    await expect(unpack(tar(...order))).rejects.toMatchObject({ rule: 'ova-manifest' })
    put('one.mf', manifest(algorithm, 'one.ovf', 'another descriptor', first))
    await expect(unpack(tar(...order))).rejects.toMatchObject({ rule: 'ova-manifest' })
  })

  test.each<[string, string, () => Buffer]>([
    ['no disk', 'archive-incomplete', () => tar('m.nvram')],
    ['a disk that is missing', 'archive-incomplete', () => tar('both.ovf', 'a.vmdk')],
    [
      'the same disk twice',
      'archive-twice',
      () => tar('--hard-dereference', 'both.ovf', 'a.vmdk', 'b.vmdk', 'b.vmdk'),
    ],
    ['its descriptor after a disk', 'archive-descriptor', () => tar('a.vmdk', 'one.ovf')],
    ['two descriptors', 'archive-descriptor', () => tar('one.ovf', 'both.ovf')],
    ['a cut', 'archive', () => tar('one.ovf', 'a.vmdk').subarray(0, 100_000)],
    ['no XML', 'archive-descriptor', () => (put('bad.ovf', 'hello'), tar('bad.ovf', 'a.vmdk'))],
    ['no manifest', 'archive-descriptor', () => (put('bad.mf', 'hello'), tar('one.ovf', 'bad.mf', 'a.vmdk'))],
    [
      'a disk of a snapshot',
      'ova-delta-disk',
      () => (
        put('delta.ovf', ovf(['a.vmdk']).replace('<Disk ', '<Disk ovf:parentRef="x" ')),
        tar('delta.ovf', 'a.vmdk')
      ),
    ],
  ])('with %s is refused', async (_what, rule, make) => {
    await expect(unpack(make())).rejects.toMatchObject({ rule })
  })
})

test('a disk that nobody takes is compared with the manifest, but neither unpacked nor of any size', async () => {
  const bomb = gzipSync(Buffer.alloc(2 ** 25))
  put('bomb.gz', bomb)
  put('both.ovf', ovf(['bomb.gz', 'b.vmdk']))
  put('both.mf', `SHA256(bomb.gz)= ${digest('sha256', bomb)}\n`)
  const taken: Buffer[] = []
  const options: Partial<UnwrapperOptions> = {
    maxBytes: second.length,
    open: ({ name }) =>
      name === 'b.vmdk' ? { write: (piece) => void taken.push(Buffer.from(piece)) } : undefined,
  }
  const { opened } = await unpack(tar('both.ovf', 'bomb.gz', 'b.vmdk', 'both.mf'), 10_000, options)
  expect(Buffer.concat(taken)).toEqual(second)
  expect(opened).toEqual(['tar'])
  put('both.mf', `SHA256(bomb.gz)= ${digest('sha256', first)}\n`)
  const wrong = unpack(tar('both.ovf', 'bomb.gz', 'b.vmdk', 'both.mf'), 10_000, options)
  await expect(wrong).rejects.toMatchObject({ rule: 'ova-manifest' })
  put('both.ovf', ovf(['a.vmdk', 'b.vmdk']))
})

test('an archive of endless files is given up', async () => {
  const names = Array.from({ length: 300 }, (_, index) => `f${index}`)
  for (const name of names) put(name, 'x')
  await expect(unpack(tar(...names), 65_536, { open: () => undefined })).rejects.toMatchObject({
    rule: 'archive',
  })
})

describe('layers', () => {
  test.each<[string, () => Buffer, readonly string[]]>([
    ['gzip', () => gzipSync(first), ['gzip']],
    ['zstd', () => zstdCompressSync(first), ['zstd']],
    [
      'zstd in several frames',
      () =>
        Buffer.concat([
          zstdCompressSync(first.subarray(0, 77)),
          Buffer.from([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]),
          zstdCompressSync(first.subarray(77)),
        ]),
      ['zstd'],
    ],
    [
      'a Vagrant box',
      () => (
        put('Vagrantfile', 'x'),
        put('metadata.json', '{}'),
        put('box.img', first),
        gzipSync(tar('./Vagrantfile', './metadata.json', './box.img'))
      ),
      ['gzip', 'tar'],
    ],
    [
      'a member that is compressed',
      () => (put('d.raw.zst', zstdCompressSync(first)), tar('d.raw.zst')),
      ['tar', 'zstd'],
    ],
    ['nothing', () => first, []],
  ])('%s', async (_what, make, opened) => {
    for (const chunk of [7001, 1_000_000]) {
      const unpacked = await unpack(make(), chunk)
      expect(Object.values(unpacked.disks)).toEqual([first])
      expect(unpacked.opened).toEqual(opened)
    }
  })

  test('of which a third one stays closed', async () => {
    put('inner.gz', gzipSync(first))
    const { disks, opened } = await unpack(gzipSync(tar('inner.gz')))
    expect(opened).toEqual(['gzip', 'tar'])
    expect(Object.values(disks)[0]?.subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]))
  })

  test.each<[string, () => Buffer, Partial<UnwrapperOptions>, string]>([
    ['zstd that is cut', () => zstdCompressSync(first).subarray(0, -9), {}, 'compressed-container'],
    [
      'zstd that is damaged',
      () => zstdCompressSync(Buffer.alloc(3e6, 'abc')).fill(7, 40, 60),
      {},
      'compressed-container',
    ],
    [
      'something after zstd',
      () => Buffer.concat([zstdCompressSync(first), randomBytes(700)]),
      {},
      'compressed-container',
    ],
    [
      'frames without content',
      () => Buffer.concat(Array.from({ length: 5000 }, () => zstdCompressSync(''))),
      {},
      'compressed-container',
    ],
    [
      'a bomb of zstd',
      () => zstdCompressSync(Buffer.alloc(2 ** 26)),
      { maxBytes: 2 ** 20 },
      'decompressed-size',
    ],
    [
      'a bomb of zstd whose length nobody knows',
      () => zstdCompressSync(Buffer.alloc(2 ** 27)),
      { maxRatio: 1100 },
      'decompressed-size',
    ],
    ['xz without its tool', () => execFileSync('xz', ['-c'], { input: first }), {}, 'compressed-container'],
    [
      'an image where compressed data is expected',
      () => first,
      { expected: 'compressed' },
      'compressed-container',
    ],
    [
      'compressed data where an archive is expected',
      () => gzipSync(first),
      { expected: 'archive' },
      'archive',
    ],
    ['a member that is too large', () => tar('a.vmdk'), { maxBytes: 1000 }, 'decompressed-size'],
  ])('%s is refused', async (_what, make, options, rule) => {
    await expect(unpack(make(), 65_536, options)).rejects.toMatchObject({ rule })
  })

  test('zeros that gzip packs are no bomb', async () => {
    const bytes = gzipSync(Buffer.alloc(2 ** 27))
    expect((await unpack(bytes, 65_536, { maxRatio: 1100 })).disks['-']).toHaveLength(2 ** 27)
  })

  test('hostile bytes of every kind end in images or a refusal', async () => {
    const whole = [
      gzipSync(tar('one.ovf', 'a.vmdk')),
      zstdCompressSync(second),
      tar('both.ovf', 'a.vmdk', 'b.vmdk'),
    ]
    let seed = 11
    const next = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below
    const others: unknown[] = []
    for (let round = 0; round < 120; round += 1) {
      const bytes = Buffer.from(whole[round % whole.length] ?? [])
      for (let count = 0; count <= next(5); count += 1) bytes[next(Math.min(bytes.length, 3000))] = next(256)
      await unpack(bytes).catch((error: unknown) => {
        if ((error as { code?: string }).code !== 'IMAGE_UNACCEPTABLE') others.push(error)
      })
    }
    expect(others).toEqual([])
  })
})
