import { existsSync } from 'node:fs'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noise } from '../build/bytes.ts'
import { inspectFile, run, streamFile, temporaryDirectory } from '../support.ts'

let directory: Awaited<ReturnType<typeof temporaryDirectory>>

beforeAll(async () => {
  directory = await temporaryDirectory()
})
afterAll(() => directory[Symbol.asyncDispose]())

const place = (name: string): string => path.join(directory.path, name)

async function expectIs(file: string, wanted: Readonly<Record<string, unknown>>): Promise<void> {
  const result = await inspectFile(file)
  expect(result).toMatchObject(wanted)
  expect(streamFile(file, 65_537)).toEqual(result)
}

async function blank(name: string, megabytes: number): Promise<string> {
  const handle = await open(place(name), 'w')
  await handle.truncate(megabytes * 1024 ** 2)
  await handle.close()
  return place(name)
}

describe("images of Debian's packages", () => {
  test.each([
    ['/usr/lib/grub-rescue/grub-rescue-cdrom.iso', { format: 'iso', safe: true }],
    ['/usr/lib/grub-rescue/grub-rescue-usb.img', { format: 'iso', safe: true }],
    ['/usr/lib/grub-rescue/grub-rescue-floppy.img', { format: 'iso', safe: true }],
    ['/usr/lib/memtest86+/memtest86+x64.iso', { format: 'iso', safe: true }],
    ['/usr/lib/memtest86+/memtest86+ia32.iso', { format: 'iso', safe: true }],
  ])('%s', async (file, wanted) => {
    if (!existsSync(file)) {
      throw new Error(`${file} is missing. Install it with: apt-get install -y grub-rescue-pc memtest86+`)
    }
    await expectIs(file, wanted)
  })
})

describe('optical images', () => {
  beforeAll(async () => {
    await mkdir(place('tree'))
    await writeFile(place('tree/file'), noise(100_000))
  })

  test.each([
    ['plain', [], { format: 'iso', safe: true }],
    ['joliet', ['-J', '-r'], { format: 'iso', safe: true }],
    [
      'gpt',
      ['-partition_offset', '16', '-appended_part_as_gpt', '-append_partition', '2', '0xef', 'PART'],
      { format: 'iso', safe: true, contentName: 'gpt' },
    ],
    [
      'mbr',
      ['-partition_offset', '16', '-append_partition', '2', '0x83', 'PART'],
      { format: 'iso', safe: true },
    ],
  ])('xorriso %s', async (name, options, wanted) => {
    await writeFile(place('part'), noise(200_000))
    const file = place(`${name}.iso`)
    const more = options.map((option) => (option === 'PART' ? place('part') : option))
    await run('xorriso', ['-as', 'mkisofs', '-quiet', '-o', file, ...more, place('tree')])
    await expectIs(file, wanted)
  })

  test('genisoimage with UDF', async () => {
    const file = place('bridge.iso')
    await run('genisoimage', ['-quiet', '-udf', '-o', file, place('tree')])
    await expectIs(file, { format: 'iso', safe: true, contentName: 'udf' })
  })
})

describe('file systems are raw disks with a name', () => {
  test.each([
    ['mkfs.ext2', ['-q', '-F'], 'ext2', 8],
    ['mkfs.ext3', ['-q', '-F'], 'ext3', 16],
    ['mkfs.ext4', ['-q', '-F'], 'ext4', 16],
    ['mkfs.xfs', ['-q'], 'xfs', 300],
    ['mkfs.btrfs', ['-q'], 'btrfs', 128],
    ['mkfs.fat', [], 'fat', 4],
    ['mkfs.fat', ['-F', '32'], 'fat', 64],
    ['mkfs.fat', ['-F', '12'], 'fat', 1],
    ['mkfs.exfat', [], 'exfat', 8],
    ['mkfs.ntfs', ['-q', '-F', '-f'], 'ntfs', 8],
    ['mkfs.f2fs', ['-q'], 'f2fs', 64],
    ['mkfs.jfs', ['-q'], 'jfs', 32],
    ['mkfs.reiserfs', ['-q', '-ff'], 'reiserfs', 64],
    ['mkfs.minix', [], 'minix', 4],
    ['mkfs.minix', ['-3'], 'minix', 4],
    ['mkfs.nilfs2', ['-q', '-f'], 'nilfs2', 160],
    ['mkfs.ocfs2', ['-q', '-F', '--fs-feature-level=max-compat', '-M', 'local'], 'ocfs2', 64],
    ['mkfs.gfs2', ['-q', '-O', '-p', 'lock_nolock', '-j', '1'], 'gfs2', 256],
    ['mkswap', [], 'swap', 4],
  ] as const)('%s %j', async (tool, options, contentName, megabytes) => {
    const file = await blank(`${tool}-${options.join('')}`, megabytes)
    await run(tool, [...options, file])
    await expectIs(file, { format: 'raw', safe: true, contentName })
  })

  test('mkudffs is optical', async () => {
    const file = await blank('udf', 16)
    await run('mkudffs', ['-b', '2048', file])
    await expectIs(file, { format: 'iso', safe: true, contentName: 'udf' })
  })

  test.each([
    ['mksquashfs', (source: string, file: string) => [source, file, '-quiet', '-no-progress'], 'squashfs'],
    ['mkfs.erofs', (source: string, file: string) => [file, source], 'erofs'],
    ['mkfs.cramfs', (source: string, file: string) => [source, file], 'cramfs'],
  ] as const)('%s', async (tool, argumentsFor, contentName) => {
    await mkdir(place(`${tool}-tree`))
    await writeFile(place(`${tool}-tree/file`), noise(50_000))
    const file = place(`${tool}.img`)
    await run(tool, argumentsFor(place(`${tool}-tree`), file))
    await expectIs(file, { format: 'raw', safe: true, contentName })
  })
})

describe('what is no disk image is named', () => {
  beforeAll(() => writeFile(place('data'), noise(50_000)))

  test.each([
    ['gzip', 'gz', 'gzip'],
    ['xz', 'xz', 'xz'],
    ['zstd', 'zst', 'zstd'],
    ['bzip2', 'bz2', 'bzip2'],
    ['lz4', 'lz4', 'lz4'],
  ])('%s', async (tool, ending, format) => {
    const named = tool === 'lz4' ? [place('data.lz4')] : []
    await run(tool, ['-k', '-f', '-q', place('data'), ...named])
    await expectIs(place(`data.${ending}`), { format, safe: false })
  })

  test.each([
    ['tar', ['-cf', 'OUT', 'data'], 'tar'],
    ['zip', ['-q', 'OUT', 'data'], 'zip'],
    ['7zz', ['a', '-bd', 'OUT', 'data'], '7z'],
  ])('%s', async (tool, options, format) => {
    const file = place(`archive.${tool}`)
    await run(
      tool,
      options.map((option) => (option === 'OUT' ? file : option)),
      directory.path,
    )
    await expectIs(file, { format, safe: false })
    const { checks } = await inspectFile(file)
    expect(checks.find((check) => check.name === 'disk-image')?.reason).toMatch(
      /not a disk image\. Unpack it/,
    )
  })

  test('an OVA by the name of its first file', async () => {
    await writeFile(place('x.ovf'), '<Envelope/>')
    await run('tar', ['-cf', place('x.ova'), 'x.ovf', 'data'], directory.path)
    await expectIs(place('x.ova'), { format: 'ova', safe: false })
    expect((await readFile(place('x.ova'))).length).toBeGreaterThan(50_000)
  })
})
