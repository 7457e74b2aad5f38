import { readFile } from 'node:fs/promises'
import { openDisk, planStream, type ReadableFormat } from '@disk-image/disk'
import { describe, expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { streamInto } from '../../stream-into.ts'
import { convertToRaw, createFolder, makeDisk, openReader, readInto, tool } from './tools.ts'

const MiB = 1024 ** 2
const GiB = 1024 * MiB

const cases: readonly (readonly [format: ReadableFormat, sizeBytes: number, options: string])[] = [
  ['vmdk', 512, ''],
  ['vmdk', 40 * MiB, ''],
  ['vmdk', 40 * MiB, 'zeroed_grain=on'],
  ['vmdk', 33 * MiB + 512, 'subformat=monolithicSparse,compat6=on'],
  ['vmdk', 5 * GiB + 66_048, ''],
  ['vmdk', 40 * MiB, 'subformat=streamOptimized'],
  ['vmdk', 33 * MiB + 512, 'subformat=streamOptimized'],
  ['vmdk', 5 * GiB + 66_048, 'subformat=streamOptimized'],
  ['vdi', 512, ''],
  ['vdi', 40 * MiB + 512, ''],
  ['vdi', 40 * MiB, 'static=on'],
  ['vdi', 9 * GiB, ''],
  ['parallels', 40 * MiB, ''],
  ['parallels', 33 * MiB + 512, 'cluster_size=64k'],
  ['parallels', 3 * MiB, 'cluster_size=4k'],
  ['parallels', 9 * GiB, 'cluster_size=8M'],
  ['vhdx', 3 * MiB, ''],
  ['vhdx', 40 * MiB, 'block_size=1M'],
  ['vhdx', 40 * MiB, 'block_size=8M,log_size=4M'],
  ['vhdx', 40 * MiB, 'subformat=fixed,block_size=4M'],
  ['vhdx', 300 * MiB, 'block_size=256M'],
  ['vhdx', 77 * MiB + 512, 'block_size=2M,block_state_zero=off'],
  // Bitmaps stand between the blocks of a large disk.
  ['vhdx', 9 * GiB + 4096, 'block_size=1M'],
  ['vpc', 40 * MiB + 512, 'force_size=on'],
  ['vpc', 40 * MiB, ''],
  ['vpc', 33 * MiB + 512, 'subformat=fixed,force_size=on'],
  ['vpc', 9 * GiB, 'force_size=on'],
  ['qcow2', 40 * MiB + 512, 'cluster_size=4k'],
  ['qcow2', 40 * MiB + 512, 'extended_l2=on'],
  ['qcow2', 5 * GiB + 512, 'extended_l2=on,cluster_size=16k'],
  ['qcow2', 40 * MiB, 'extended_l2=on,cluster_size=2M'],
]

describe('our own reader gives what qemu-img does', () => {
  test.each(cases)('%s, %d bytes, %s', async (format, sizeBytes, options) => {
    await using folder = await createFolder()
    const [raw, image, ours, theirs] = ['raw', 'image', 'ours', 'theirs'].map((name) =>
      folder.file(name),
    ) as [string, string, string, string]
    const random = new Random(sizeBytes + options.length)
    await makeDisk(random, raw, sizeBytes)
    const choice = options === '' ? [] : ['-o', options]
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, ...choice, raw, image)
    if (!options.includes('streamOptimized') && sizeBytes > MiB) {
      // Written in another order, over what is there, and marked as zero.
      const place = random.below(sizeBytes / MiB - 1)
      const write = ['-c', `write -P 7 ${place * MiB + 512} 65536`, '-c', `write -z ${place * MiB} 128k`]
      await tool('qemu-io', '-f', format, ...write, image)
    }
    expect(await convertToRaw(format, image, theirs)).toBe(true)
    const size = await readInto(format, image, ours)
    await tool('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', ours, theirs)
    const bytes = await readFile(image)
    if (planStream(format, bytes.subarray(0, MiB)).supported) {
      await streamInto(random, format, bytes, { spool: folder.file('spool'), target: ours }, 2)
      await tool('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', ours, theirs)
    }
    const info = JSON.parse(await tool('qemu-img', 'info', '-f', format, '--output', 'json', image)) as object
    expect(info).toMatchObject({ 'virtual-size': size })
  })
})

describe('reads anywhere what it reads in order', () => {
  test.each([
    ['vmdk', 'subformat=monolithicSparse'],
    ['vmdk', 'subformat=streamOptimized'],
    ['vdi', 'static=off'],
    ['parallels', 'cluster_size=4k'],
    ['vhdx', 'block_size=1M'],
    ['vpc', 'force_size=on'],
    ['vpc', 'subformat=fixed,force_size=on'],
    ['qcow2', 'cluster_size=512'],
    ['qcow2', 'extended_l2=on'],
  ] as const)('%s, %s', async (format, options) => {
    await using folder = await createFolder()
    const [raw, image] = [folder.file('raw'), folder.file('image')]
    const random = new Random(options.length)
    await makeDisk(random, raw, 9 * MiB + 1024)
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, '-o', options, raw, image)
    const expected = await readFile(raw)
    await using reader = await openReader(image)
    await using disk = await openDisk(reader, format)
    const size = disk.size
    for (let count = 0; count < 60; count += 1) {
      const offset = random.below(size + 10_000)
      const length = random.pick([0, 1, 511, 5000, 70_000, 3_000_000])
      const lent = random.chance(0.5) ? new Uint8Array(length).fill(1) : undefined
      const bytes = await disk.read(offset, length, lent)
      expect(Buffer.compare(bytes, expected.subarray(offset, offset + length))).toBe(0)
    }
    await disk.close()
    await expect(disk.read(0, 1)).rejects.toThrow('closed')
  })
})

test('a compressed qcow2 with subclusters, written over, marked as zero and discarded in parts', async () => {
  await using folder = await createFolder()
  const [raw, image] = [folder.file('raw'), folder.file('image')]
  const random = new Random(32)
  await makeDisk(random, raw, 9 * MiB + 512)
  await tool('qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', 'extended_l2=on', raw, image)
  const commands = Array.from({ length: 60 }, () => {
    const offset = random.below((8 * MiB) / 512) * 512
    const length = 512 * (1 + random.below(300))
    return [`write -P ${random.below(256)}`, 'write -z', 'write -z -u', 'discard'].map(
      (command) => `${command} ${offset} ${length}`,
    )[random.below(4)] as string
  })
  await tool(
    'qemu-io',
    '-f',
    'qcow2',
    '-d',
    'unmap',
    ...commands.flatMap((command) => ['-c', command]),
    image,
  )
  expect(await convertToRaw('qcow2', image, folder.file('theirs'))).toBe(true)
  await readInto('qcow2', image, folder.file('ours'))
  await tool('cmp', folder.file('ours'), folder.file('theirs'))
})
