import { createHash } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import path from 'node:path'
import { createGzip, gzipSync } from 'node:zlib'
import { Readable } from 'node:stream'
import { ImageError, InvalidError } from '@disk-image/core'
import {
  coalesceChain,
  extractXenserverArchive,
  fixVhdChain,
  isXenserverFormat,
  openVhdChain,
  streamRaw,
  XenserverArchiveError,
  type ExtractOptions,
} from '@disk-image/vhd'
import { create } from 'tar'
import { describe, expect, test, vi } from 'vitest'
import { buildDisk, diskBytes, footerOf, pattern, sum, type DiskPlan } from '../helpers/build-vhd.ts'
import { chainView } from '../helpers/model.ts'
import { pax, tar, targz, type TarEntry } from '../helpers/tar.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const blockBytes = 65_536
const uuid = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-${digit.repeat(12)}`

const plan = (
  type: DiskPlan['type'],
  name: string,
  parent?: string,
  more: Partial<DiskPlan> = {},
): DiskPlan => ({
  type,
  sizeBytes: 2 ** 20,
  blockBytes,
  uniqueId: uuid(name),
  ...(parent === undefined ? {} : { parentUniqueId: uuid(parent) }),
  writes: [{ sector: Number.parseInt(name, 16) * 100, data: pattern(name, 40) }],
  ...more,
})

const plans = [plan('differencing', 'a', 'b'), plan('differencing', 'b', 'c'), plan('dynamic', 'c')]
const [leaf, middle, base] = plans.map((disk) => diskBytes(buildDisk(disk))) as [Buffer, Buffer, Buffer]
const good: TarEntry[] = [
  { name: './', type: '5', mode: 0o755 },
  { name: './2.vhd', data: base },
  { name: './0.vhd', data: leaf },
  { name: './1.vhd', data: middle },
]
const single: TarEntry = { name: '0.vhd', data: base }

/** The disk with some bytes changed, and the checksums of footers and header put right again. */
function changed(disk: Buffer, change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(disk)
  change(bytes)
  for (const at of [0, bytes.length - 512]) {
    bytes.writeUInt32BE(0, at + 64)
    bytes.writeUInt32BE(sum(bytes.subarray(at, at + 512)), at + 64)
  }
  bytes.writeUInt32BE(0, 548)
  bytes.writeUInt32BE(sum(bytes.subarray(512, 1536)), 548)
  return bytes
}

function withLocator(text: Buffer, code = 'MacX'): Buffer {
  return changed(leaf, (bytes) => {
    const at = Number(bytes.readBigUInt64BE(512 + 576 + 16))
    bytes.write(code, 512 + 576, 'latin1')
    bytes.writeUInt32BE(text.length, 512 + 576 + 8)
    bytes.fill(0, at, at + 512)
    bytes.set(text, at)
  })
}

function eachFooter(bytes: Buffer, change: (footer: Buffer) => void): void {
  for (const at of [0, bytes.length - 512]) change(bytes.subarray(at, at + 512))
}

async function extract(
  archive: Uint8Array | string | AsyncIterable<Uint8Array>,
  options: ExtractOptions = {},
): Promise<{ directory: string; chain: string[]; warnings: readonly { rule: string }[] }> {
  const directory = path.join(temporaryDirectory(), 'target')
  mkdirSync(directory)
  const source = archive instanceof Uint8Array ? Readable.from([archive]) : archive
  const { chain, warnings } = await extractXenserverArchive(source, directory, options)
  return { directory, chain, warnings }
}

describe('what is accepted', () => {
  test.each<readonly [string, () => Uint8Array]>([
    ['a chain in any order, with ./ in front', () => targz(good)],
    [
      'without ./',
      () =>
        targz([
          { name: '0.vhd', data: leaf },
          { name: '1.vhd', data: middle },
          { name: '2.vhd', data: base },
        ]),
    ],
    [
      'several gzip members',
      () => {
        const whole = tar(good)
        return Buffer.concat([gzipSync(whole.subarray(0, 70_000)), gzipSync(whole.subarray(70_000))])
      },
    ],
    ['an extended header', () => targz([{ name: 'x', type: 'x', data: pax('mtime', '1.5') }, ...good])],
    [
      'a long name',
      () =>
        targz([
          { name: '././@LongLink', type: 'L', data: Buffer.from('./0.vhd\0') },
          { name: 'cut', data: leaf },
          ...good.filter(({ name }) => name !== './0.vhd'),
        ]),
    ],
    [
      'sizes in base 256',
      () => {
        const size = Buffer.alloc(12)
        size[0] = 0x80
        size.writeUInt32BE(leaf.length, 8)
        return targz(good.map((entry) => (entry.name === './0.vhd' ? { ...entry, size } : entry)))
      },
    ],
    [
      'other members, which are skipped',
      () =>
        targz([
          ...good,
          { name: 'swap.vhd', data: Buffer.from('x') },
          { name: '._0.vhd', data: Buffer.alloc(10) },
          { name: 'manifest', data: Buffer.alloc(0) },
        ]),
    ],
    ['a plain tar', () => tar(good)],
    ['odd modes and owners', () => targz(good.map((entry) => ({ ...entry, mode: 0o4000 })))],
  ])('%s', async (_name, archive) => {
    const { chain, directory } = await extract(archive())
    expect(readdirSync(directory).toSorted()).toEqual(['0.vhd', '1.vhd', '2.vhd'])
    expect(chain.map((file) => path.basename(file))).toEqual(['0.vhd', '1.vhd', '2.vhd'])
    expect(chain.map((file) => statSync(file).mode & 0o7777)).toEqual([0o600, 0o600, 0o600])
    expect(readFileSync(chain[0] as string)).toEqual(leaf)
    await fixVhdChain(chain)
    await using opened = await openVhdChain(await coalesceChain(chain))
    const hash = createHash('sha256')
    for await (const bytes of streamRaw(opened)) hash.update(bytes)
    expect(hash.digest('hex')).toBe(createHash('sha256').update(chainView(plans)).digest('hex'))
  })

  test.each([true, false])("what npm's tar packs, gzip %s", async (gzip) => {
    const folder = temporaryDirectory()
    for (const [index, disk] of [leaf, middle, base].entries())
      writeFileSync(path.join(folder, `${index}.vhd`), disk)
    for (const options of [{}, { portable: true }, { noPax: true }]) {
      const file = path.join(temporaryDirectory(), 'image')
      await create({ cwd: folder, file, gzip, ...options }, ['.'])
      const { chain } = await extract(file)
      expect(chain.map((one) => readFileSync(one))).toEqual([leaf, middle, base])
    }
  })

  test('one disk, from a file', async () => {
    const file = path.join(temporaryDirectory(), 'image')
    writeFileSync(file, targz([single]))
    const { chain, warnings } = await extract(file)
    expect(chain).toHaveLength(1)
    expect(warnings).toEqual([])
  })

  test('another parent than was noted is a warning: who belongs to whom is said by the names', async () => {
    const stranger = diskBytes(buildDisk(plan('differencing', 'a', 'd')))
    const { warnings } = await extract(
      targz([
        { name: '0.vhd', data: stranger },
        { name: '1.vhd', data: base },
      ]),
    )
    expect(warnings.map(({ rule }) => rule)).toEqual(['parent-uuid'])
  })
})

type Attack = readonly [name: string, rule: string, archive: () => Uint8Array, options?: ExtractOptions]
const attacks: readonly Attack[] = [
  ['a name that leads out', 'member-traversal', () => targz([single, { name: '../x', data: base }])],
  [
    'a name that leads out in the middle',
    'member-traversal',
    () => targz([{ name: 'a/../../0.vhd', data: base }]),
  ],
  ['an absolute name', 'member-absolute', () => targz([single, { name: '/tmp/x.vhd', data: base }])],
  [
    'an absolute name by its prefix',
    'member-absolute',
    () => targz([{ name: '0.vhd', prefix: '/etc', data: base }]),
  ],
  [
    'an absolute name by an extended header',
    'member-absolute',
    () => targz([{ name: 'x', type: 'x', data: pax('path', '/etc/0.vhd') }, single]),
  ],
  ['a drive', 'member-absolute', () => targz([{ name: 'C:0.vhd', data: base }])],
  ['backslashes', 'member-name', () => targz([{ name: '..\\0.vhd', data: base }])],
  ['control characters', 'member-name', () => targz([{ name: '0.vhd\n', data: base }])],
  [
    'a symbolic link to a host file',
    'member-link',
    () => targz([{ name: '0.vhd', type: '2', link: '/etc/passwd' }]),
  ],
  [
    'a symbolic link inside',
    'member-link',
    () => targz([single, { name: '1.vhd', type: '2', link: '0.vhd' }]),
  ],
  [
    'a symbolic link to a folder',
    'member-link',
    () =>
      targz([
        { name: 'd', type: '2', link: '/tmp' },
        { name: 'd/0.vhd', data: base },
      ]),
  ],
  ['a hard link outside', 'member-link', () => targz([{ name: '0.vhd', type: '1', link: '/etc/passwd' }])],
  ['a hard link inside', 'member-link', () => targz([single, { name: '1.vhd', type: '1', link: '0.vhd' }])],
  [
    'a link by an extended header',
    'tar-damaged',
    () =>
      targz([
        { name: 'x', type: 'x', data: pax('linkpath', '/etc/passwd') },
        { ...single, link: '/etc/passwd' },
      ]),
  ],
  ['a pipe', 'member-device', () => targz([{ name: '0.vhd', type: '6' }])],
  ['a character device', 'member-device', () => targz([{ name: '0.vhd', type: '3' }])],
  ['a block device', 'member-device', () => targz([{ name: '0.vhd', type: '4' }])],
  ['a device among the skipped', 'member-device', () => targz([single, { name: 'null', type: '3' }])],
  ['a folder called 0.vhd', 'member-type', () => targz([{ name: '0.vhd', type: '5' }])],
  ['a folder called 0.vhd/', 'member-type', () => targz([{ name: '0.vhd/', type: '5' }, single])],
  ['a contiguous file', 'member-type', () => targz([{ ...single, type: '7' }])],
  ['an unknown type', 'member-type', () => targz([{ ...single, type: 'Z' }])],
  ['a GNU sparse file', 'member-sparse', () => targz([{ ...single, type: 'S' }])],
  [
    'an extended-header sparse file',
    'member-sparse',
    () =>
      targz([
        {
          name: 'x',
          type: 'x',
          data: Buffer.concat([pax('GNU.sparse.major', '1'), pax('GNU.sparse.realsize', '1099511627776')]),
        },
        single,
      ]),
  ],
  ['a member twice', 'member-duplicate', () => targz([single, single])],
  [
    'a member twice, once with ./',
    'member-duplicate',
    () => targz([single, { name: './0.vhd', data: base }]),
  ],
  [
    'a gap',
    'chain-gap',
    () =>
      targz([
        { name: '0.vhd', data: leaf },
        { name: '2.vhd', data: base },
      ]),
  ],
  ['no 0.vhd', 'chain-empty', () => targz([{ name: '1.vhd', data: base }])],
  ['a chain in a folder', 'chain-empty', () => targz([{ name: 'img/0.vhd', data: base }])],
  ['0.VHD', 'chain-empty', () => targz([{ name: '0.VHD', data: base }])],
  ['00.vhd', 'chain-empty', () => targz([{ name: '00.vhd', data: base }])],
  ['an empty archive', 'chain-empty', () => targz([])],
  [
    'too many members',
    'member-count',
    () => targz([single, ...Array.from({ length: 80 }, (_, at) => ({ name: `x${at}` }))]),
  ],
  ['more than the limit', 'size-limit', () => targz([single]), { maxBytes: base.length - 1 }],
  [
    'more than the limit, in skipped members',
    'size-limit',
    () => targz([single, { name: 'junk', data: Buffer.alloc(base.length) }]),
    { maxBytes: base.length + 1000 },
  ],
  [
    'a size beyond the disk',
    'size-limit',
    () => targz([{ ...single, size: 0o77777777777 }]),
    { maxBytes: 2 ** 32 },
  ],
  [
    'a negative size',
    'tar-damaged',
    () =>
      targz([
        { ...single, size: Buffer.alloc(12, 0xff) },
        { ...single, name: '1.vhd', size: Buffer.from('8000000000000000ffffffff', 'hex') },
      ]),
  ],
  [
    'a negative size by an extended header',
    'member-size',
    () => targz([{ name: 'x', type: 'x', data: pax('size', '-1') }, single]),
  ],
  ['a disk larger than the volume', 'virtual-size', () => targz([single]), { maxVirtualSizeBytes: 2 ** 19 }],
  [
    'a fixed disk larger than the volume',
    'virtual-size',
    () =>
      targz([
        {
          name: '0.vhd',
          data: Buffer.concat([
            Buffer.alloc(2 ** 20),
            footerOf({ type: 'fixed', sizeBytes: 2 ** 20, writes: [] }, uuid('e')),
          ]),
        },
      ]),
    { maxVirtualSizeBytes: 2 ** 19 },
  ],
  [
    'a file far larger than its disk',
    'member-size',
    () =>
      targz([
        {
          name: '0.vhd',
          data: Buffer.concat([
            base.subarray(0, base.length - 512),
            Buffer.alloc(40 * 2 ** 20),
            base.subarray(-512),
          ]),
        },
      ]),
  ],
  ['compressed twice', 'tar-damaged', () => gzipSync(targz([single]))],
  ['no tar at all', 'tar-damaged', () => gzipSync(pattern('noise', 4))],
  ['a damaged header', 'tar-damaged', () => targz([{ ...single, badChecksum: true }])],
  ['a header without a name', 'tar-damaged', () => targz([{ ...single, name: '' }])],
  [
    'a huge extended header',
    'member-type',
    () => targz([{ name: 'x', type: 'x', data: Buffer.alloc(2 ** 17, 0x41) }, single]),
  ],
  ['no gzip', 'gzip-damaged', () => pattern('noise', 4)],
  ['gzip that stops', 'gzip-damaged', () => targz([single]).subarray(0, -100)],
  [
    'gzip with a wrong checksum',
    'gzip-damaged',
    () => {
      const bytes = targz([single])
      bytes[bytes.length - 6] = (bytes[bytes.length - 6] as number) ^ 1
      return bytes
    },
  ],
  ['tar that stops in a member', 'archive-truncated', () => gzipSync(tar([single]).subarray(0, 20_000))],
  ['tar without its end', 'archive-truncated', () => gzipSync(tar([single], Buffer.alloc(0)))],
  [
    'bytes behind the end',
    'trailing-data',
    () => gzipSync(Buffer.concat([tar([single]), Buffer.from('hello')])),
  ],
  [
    'a second archive behind the end',
    'trailing-data',
    () => gzipSync(Buffer.concat([tar([single]), tar([single])])),
  ],
  ['an empty file', 'too-small', () => targz([{ name: '0.vhd', data: Buffer.alloc(0) }])],
  ['no VHD', 'footer-missing', () => targz([{ name: '0.vhd', data: pattern('noise', 100) }])],
  [
    'a cut VHD',
    'block-past-end',
    () => targz([{ name: '0.vhd', data: base.subarray(0, base.length - 2048) }]),
  ],
  [
    'a base with a parent',
    'chain-incomplete',
    () =>
      targz([
        { name: '0.vhd', data: leaf },
        { name: '1.vhd', data: middle },
      ]),
  ],
  [
    'a child without a parent',
    'chain-type',
    () =>
      targz([
        single,
        { name: '1.vhd', data: middle },
        { name: '2.vhd', data: diskBytes(buildDisk(plan('dynamic', 'd'))) },
      ]),
  ],
  [
    'a child smaller than its parent',
    'child-smaller',
    () =>
      targz([
        {
          name: '0.vhd',
          data: diskBytes(buildDisk(plan('differencing', 'a', 'c', { sizeBytes: 2 ** 19, writes: [] }))),
        },
        { name: '1.vhd', data: base },
      ]),
  ],
  [
    'a parent without a uuid',
    'zero-uuid',
    () =>
      targz([
        { name: '0.vhd', data: leaf },
        {
          name: '1.vhd',
          data: changed(base, (bytes) => eachFooter(bytes, (footer) => footer.fill(0, 68, 84))),
        },
      ]),
  ],
  [
    'the same disk twice',
    'chain-loop',
    () =>
      targz([
        { name: '0.vhd', data: leaf },
        { name: '1.vhd', data: leaf },
        { name: '2.vhd', data: base },
      ]),
  ],
  [
    'a disk that is its own parent',
    'chain-loop',
    () =>
      targz([
        { name: '0.vhd', data: diskBytes(buildDisk(plan('differencing', 'a', 'a'))) },
        { name: '1.vhd', data: base },
      ]),
  ],
  [
    'a cycle',
    'chain-loop',
    () =>
      targz([
        { name: '0.vhd', data: leaf },
        { name: '1.vhd', data: diskBytes(buildDisk(plan('differencing', 'b', 'a'))) },
        { name: '2.vhd', data: base },
      ]),
  ],
  [
    'a locator to a host file',
    'locator-outside',
    () =>
      targz([
        { name: '0.vhd', data: withLocator(Buffer.from('file:///etc/passwd')) },
        ...good.slice(1, 2),
        { name: './1.vhd', data: middle },
      ]),
  ],
  [
    'a locator that leads out',
    'locator-outside',
    () =>
      targz([
        { name: '0.vhd', data: withLocator(Buffer.from('file://../../x.vhd')) },
        ...good.slice(1, 2),
        { name: './1.vhd', data: middle },
      ]),
  ],
  [
    'a locator to a share',
    'locator-outside',
    () =>
      targz([
        { name: '0.vhd', data: withLocator(Buffer.from('\\\\host\\share\\x.vhd', 'utf16le'), 'W2ru') },
        ...good.slice(1, 2),
        { name: './1.vhd', data: middle },
      ]),
  ],
  [
    'a locator to another drive',
    'locator-outside',
    () =>
      targz([
        { name: '0.vhd', data: withLocator(Buffer.from('D:\\x.vhd', 'utf16le'), 'W2ku') },
        ...good.slice(1, 2),
        { name: './1.vhd', data: middle },
      ]),
  ],
  [
    'a locator to drive C',
    'locator-outside',
    () =>
      targz([
        { name: '0.vhd', data: withLocator(Buffer.from('C:\\x.vhd', 'utf16le'), 'W2ku') },
        ...good.slice(1, 2),
        { name: './1.vhd', data: middle },
      ]),
  ],
  [
    'a block on the header',
    'block-on-footer-copy',
    () => targz([{ name: '0.vhd', data: changed(base, (bytes) => bytes.writeUInt32BE(0, 1536)) }]),
  ],
  [
    'a block past the end',
    'block-past-end',
    () => targz([{ name: '0.vhd', data: changed(base, (bytes) => bytes.writeUInt32BE(9999, 1536)) }]),
  ],
  [
    'a table of 4 billion entries',
    'table-offset',
    () => targz([{ name: '0.vhd', data: changed(base, (bytes) => bytes.writeUInt32BE(0xff_ff_ff_ff, 540)) }]),
  ],
  [
    'a disk of 1 EiB',
    'size',
    () =>
      targz([
        {
          name: '0.vhd',
          data: changed(base, (bytes) =>
            eachFooter(bytes, (footer) => footer.writeBigUInt64BE(2n ** 60n, 48)),
          ),
        },
      ]),
  ],
  [
    'footers that differ',
    'footers-differ',
    () => targz([{ name: '0.vhd', data: changed(base, (bytes) => bytes.writeBigUInt64BE(2n ** 19n, 48)) }]),
  ],
  [
    'an unfinished resize',
    'journal-open',
    () =>
      targz([
        {
          name: '0.vhd',
          data: changed(base, (bytes) => eachFooter(bytes, (footer) => footer.write('v_poison'))),
        },
      ]),
  ],
  [
    'encrypted data',
    'encrypted',
    () => targz([{ name: '0.vhd', data: changed(base, (bytes) => (bytes[2048 + 29] = 1)) }]),
  ],
]

describe(`${attacks.length} attacks, each refused by its rule, with nothing left behind`, () => {
  test.each(attacks.map((attack) => [`${attack[0]}: ${attack[1]}`, attack] as const))(
    '%s',
    async (_name, attack) => {
      const [, rule, archive, options = {}] = attack
      const root = temporaryDirectory()
      const target = path.join(root, 'target')
      mkdirSync(target)
      const before = readdirSync('/tmp').length
      const error: unknown = await extractXenserverArchive(Readable.from([archive()]), target, options).catch(
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(XenserverArchiveError)
      expect(error).toMatchObject({ rule, kind: 'refused', code: 'XENSERVER_ARCHIVE_REFUSED' })
      expect((error as XenserverArchiveError).reason).toMatch(/^.{8,200}$/)
      expect(readdirSync(target)).toEqual([])
      expect(readdirSync(root)).toEqual(['target'])
      expect(before).toBeGreaterThan(0)
    },
  )
})

test('an existing file is never overwritten, and stays', async () => {
  const directory = temporaryDirectory()
  writeFileSync(path.join(directory, '0.vhd'), 'mine')
  await expect(extractXenserverArchive(Readable.from([targz([single])]), directory)).rejects.toMatchObject({
    rule: 'target-exists',
  })
  expect(readFileSync(path.join(directory, '0.vhd'), 'utf8')).toBe('mine')
})

test('a link in the target is not followed', async () => {
  const directory = temporaryDirectory()
  const outside = path.join(temporaryDirectory(), 'outside')
  symlinkSync(outside, path.join(directory, '0.vhd'))
  await expect(extractXenserverArchive(Readable.from([targz([single])]), directory)).rejects.toMatchObject({
    rule: 'target-exists',
  })
  expect(() => statSync(outside)).toThrow('ENOENT')
})

test('an abort ends the call with its reason, even while the source hangs', async () => {
  const directory = temporaryDirectory()
  const controller = new AbortController()
  async function* hanging(): AsyncGenerator<Uint8Array> {
    yield targz([single]).subarray(0, 3000)
    controller.abort(new Error('enough'))
    await new Promise(() => undefined)
  }
  await expect(extractXenserverArchive(hanging(), directory, { signal: controller.signal })).rejects.toThrow(
    'enough',
  )
  expect(readdirSync(directory)).toEqual([])
  await expect(
    extractXenserverArchive(hanging(), directory, { signal: AbortSignal.abort(new Error('before')) }),
  ).rejects.toThrow('before')
})

test("a source's own failure comes through as it is", async () => {
  const directory = temporaryDirectory()
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield targz(good).subarray(0, 3000)
    throw new Error('connection lost')
  }
  await expect(extractXenserverArchive(failing(), directory)).rejects.toThrow('connection lost')
  expect(readdirSync(directory)).toEqual([])
})

test('endless garbage behind the gzip data does not keep it', async () => {
  const directory = temporaryDirectory()
  let sent = 0
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield targz([single])
    for (; sent < 1e9; sent += 1) {
      yield Buffer.alloc(65_536, 0x55)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await expect(extractXenserverArchive(endless(), directory)).rejects.toMatchObject({ rule: 'gzip-trailing' })
  expect(readdirSync(directory)).toEqual([])
  expect(sent).toBeLessThan(1000)
})

test(
  'a real bomb of 3 GiB of zeros is known by its ratio, in bounded memory',
  { timeout: 60_000 },
  async () => {
    const directory = temporaryDirectory()
    const size = 3 * 2 ** 30
    const bytes = Buffer.alloc(12)
    bytes[0] = 0x80
    bytes.writeBigUInt64BE(BigInt(size), 4)
    function* contents(): Generator<Uint8Array> {
      yield tar([{ name: '0.vhd', size: bytes }], Buffer.alloc(0))
      const zeroes = Buffer.alloc(2 ** 20)
      for (let at = 0; at < size; at += zeroes.length) yield zeroes
    }
    const archive = Readable.from(contents()).pipe(createGzip())
    const error: unknown = await extractXenserverArchive(archive, directory).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ rule: 'compression-ratio' })
    expect(readdirSync(directory)).toEqual([])
  },
)

test('progress counts compressed bytes', async () => {
  const file = path.join(temporaryDirectory(), 'image')
  const archive = targz(good)
  writeFileSync(file, archive)
  const seen: unknown[] = []
  await extract(file, { onProgress: (progress) => seen.push(progress) })
  expect(seen.at(-1)).toEqual({
    stage: 'extract',
    completed: archive.length,
    total: archive.length,
    unit: 'bytes',
  })
})

test('limits that are no limits', async () => {
  const error: unknown = await extract(targz(good), { maxBytes: 0 }).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(InvalidError)
  expect(ImageError.is(error)).toBe(true)
})

test.each([
  ['vhd', 'ovf', true],
  ['vhd', 'bare', false],
  ['vhdx', 'ovf', false],
  ['raw', 'bare', false],
  ['VHD', 'OVF', false],
  [null, null, false],
  ['vhd', null, false],
  [undefined, undefined, false],
])('%s in %s: %s', (diskFormat, containerFormat, expected) => {
  expect(isXenserverFormat({ disk_format: diskFormat, container_format: containerFormat })).toBe(expected)
})

test('every file is on the disk before it has its name, and the leaf has it last', async () => {
  const syncs = async (options: ExtractOptions): Promise<unknown[]> => {
    const directory = temporaryDirectory()
    const seen: unknown[] = []
    const handle = await open(directory)
    const methods = Object.getPrototypeOf(handle) as FileHandle
    await handle.close()
    for (const name of ['sync', 'datasync'] as const) {
      const real = methods[name]
      vi.spyOn(methods, name).mockImplementation(function (this: FileHandle) {
        const path = readlinkSync(`/proc/self/fd/${this.fd}`)
        const named = readdirSync(directory).filter((file) => /^\d/.test(file))
        seen.push([path === directory ? 'folder' : 'file', named.toSorted()])
        return real.call(this)
      })
    }
    try {
      await extractXenserverArchive(Readable.from([targz(good)]), directory, options)
    } finally {
      vi.restoreAllMocks()
    }
    return seen
  }
  expect(await syncs({})).toEqual([
    ['file', []],
    ['file', []],
    ['file', []],
    ['folder', ['1.vhd', '2.vhd']],
    ['folder', ['0.vhd', '1.vhd', '2.vhd']],
  ])
  expect(await syncs({ durable: false })).toEqual([])
})
