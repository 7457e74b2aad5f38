import { readdir } from 'node:fs/promises'
import path from 'node:path'
import type { RandomAccessReader } from '@disk-image/core'
import { DiskFormatError, openVmdkSet } from '@disk-image/disk'
import { expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { buildVmdk, descriptor } from '../../unit/formats/build-vmdk.ts'
import { readerOf } from '../../unit/formats/read-all.ts'

import { copyInto, createFolder, makeDisk, openReader, tool } from './tools.ts'

const GiB = 1024 ** 3

/** All files of a folder but the descriptor, by their names. */
async function siblingsOf(image: string): Promise<Map<string, RandomAccessReader & AsyncDisposable>> {
  const names = (await readdir(path.dirname(image))).filter((name) => name !== path.basename(image))
  const files = await Promise.all(names.map((name) => openReader(path.join(path.dirname(image), name))))
  return new Map(names.map((name, index) => [name, files[index] as (typeof files)[number]]))
}

test.each([
  ['monolithicFlat', 20_000_256],
  ['twoGbMaxExtentFlat', 5 * GiB + 66_048],
  ['twoGbMaxExtentSparse', 5 * GiB + 66_048],
  ['twoGbMaxExtentSparse', 2 * GiB],
] as const)('%s, %d bytes: a disk in several files is read as qemu-img reads it', async (kind, sizeBytes) => {
  await using folder = await createFolder()
  await using set = await createFolder()
  const image = set.file('disk.vmdk')
  const size = Math.floor(sizeBytes / 512) * 512
  await makeDisk(new Random(sizeBytes), folder.file('raw'), size)
  await tool('qemu-img', 'convert', '-O', 'vmdk', '-o', `subformat=${kind}`, folder.file('raw'), image)
  await using text = await openReader(image)
  const files = await siblingsOf(image)
  try {
    await using disk = await openVmdkSet(text, files)
    expect(disk.size).toBe(size)
    await copyInto(folder.file('ours'), disk)
    await tool('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', folder.file('ours'), folder.file('raw'))
    // Across the end of an extent.
    const at = Math.min(size, 2 * GiB) - 1000
    await using raw = await openReader(folder.file('raw'))
    expect(Buffer.compare(await disk.read(at, 5000), await raw.read(at, 5000))).toBe(0)
    for (const name of files.keys()) {
      const fewer = new Map([...files].filter(([other]) => other !== name))
      await expect(openVmdkSet(text, fewer)).rejects.toMatchObject({ rule: 'vmdk-extents', found: name })
    }
  } finally {
    await Promise.all([...files.values()].map((file) => file[Symbol.asyncDispose]()))
  }
})

const flat = (...lines: readonly string[]): string =>
  descriptor('twoGbMaxExtentFlat', lines.slice(1).join('\n'), lines[0])

async function ruleOf(text: string, files: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const parts = new Map(Object.entries(files).map(([name, bytes]) => [name, readerOf(bytes)]))
  try {
    await openVmdkSet(readerOf(Buffer.from(text)), parts)
  } catch (error) {
    if (error instanceof DiskFormatError) return error.rule
    throw error
  }
  throw new Error('it is read')
}

test('extents can follow each other in one file, and be zeros', async () => {
  const text = flat('RW 2 FLAT "a" 1', 'RW 3 ZERO', 'RW 1 FLAT "a" 0')
  const file = Uint8Array.from({ length: 2048 }, (_, at) => Math.floor(at / 512) + 1)
  await using disk = await openVmdkSet(readerOf(Buffer.from(text)), new Map([['a', readerOf(file)]]))
  const sectors = Array.from({ length: 6 }, (_, number) => number)
  const bytes = await disk.read(0, 10_000)
  expect(sectors.map((number) => bytes[number * 512 + 511])).toEqual([2, 3, 0, 0, 0, 1])
  const kinds = []
  for await (const { kind, length } of disk.extents()) kinds.push([kind, length / 512])
  expect(kinds).toEqual([
    ['data', 2],
    ['hole', 3],
    ['data', 1],
  ])
})

const a = new Uint8Array(2048)
test.each([
  ['a file that is too short', flat('RW 5 FLAT "a" 0'), { a }, 'vmdk-truncated'],
  ['a place behind the end', flat('RW 1 FLAT "a" 4'), { a }, 'vmdk-truncated'],
  ['a place twice', flat('RW 2 FLAT "a" 0', 'RW 2 FLAT "a" 1'), { a }, 'vmdk-block-used-twice'],
  ['a path', flat('RW 1 FLAT "/etc/passwd" 0'), { a }, 'vmdk-extents'],
  ['a path upwards', flat('RW 1 FLAT "../a" 0'), { a }, 'vmdk-extents'],
  // Each was read otherwise by qemu-img and by libvmdk.
  ['an extent after an empty line', flat('RW 1 FLAT "a" 0', '\nRW 1 FLAT "a" 1'), { a }, 'vmdk-extents'],
  ['an extent without a place', flat('RW 1 FLAT "a" \xb0'), { a }, 'vmdk-extents'],
  ['an extent in small letters', flat('RW 1 FLAT "a" 0', 'rw 1 FLAT "a" 1'), { a }, 'vmdk-extents'],
  [
    'an extent that ends within a grain, and another one',
    descriptor('twoGbMaxExtentSparse', 'RW 12 SPARSE "b"', 'RW 12 SPARSE "b"'),
    { b: buildVmdk({ capacity: 12 }) },
    'vmdk-extents',
  ],
  ['an extent of another kind', flat('RW 1 SPARSE "a"'), { a }, 'vmdk-extents'],
  ['an extent that may not be read', flat('NOACCESS 1 FLAT "a" 0'), { a }, 'vmdk-extents'],
  ['an empty extent', flat('RW 0 FLAT "a" 0', 'RW 1 FLAT "a" 0'), { a }, 'vmdk-extents'],
  ['no size', flat('RW 0 ZERO'), { a }, 'vmdk-virtual-size'],
  ['more than a disk has', flat('RW 9999999999999999999 ZERO'), { a }, 'vmdk-virtual-size'],
  ['a delta', flat('RW 1 FLAT "a" 0', 'parentFileNameHint="b.vmdk"'), { a }, 'vmdk-backing-file'],
  [
    'a part that is no sparse extent',
    descriptor('twoGbMaxExtentSparse', '', 'RW 4 SPARSE "a"'),
    { a },
    'vmdk-kind',
  ],
  [
    'several parts of one',
    descriptor('monolithicFlat', 'RW 1 FLAT "a" 1', 'RW 1 FLAT "a" 0'),
    { a },
    'vmdk-extents',
  ],
  ['a raw mapping', descriptor('vmfsRaw', '', 'RW 1 VMFSRAW "a"'), { a }, 'vmdk-create-type'],
  ['a disk of ESX', descriptor('vmfs', '', 'RW 1 VMFS "a"'), { a }, 'vmdk-create-type'],
  ['a disk in one file', descriptor('monolithicSparse', '', 'RW 1 SPARSE "a"'), { a }, 'vmdk-create-type'],
])('%s is refused', async (_, text, files, rule) => {
  expect(await ruleOf(text, files)).toBe(rule)
})
