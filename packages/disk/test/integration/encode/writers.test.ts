import { readFile } from 'node:fs/promises'
import { type EncodeDiskOptions, planStream, type ReadableFormat } from '@disk-image/disk'
import { expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { streamInto } from '../../stream-into.ts'
import { convertToRaw, createFolder, makeDisk, readInto, tool } from '../formats/tools.ts'
import { encodeFile } from './encoded.ts'

const MiB = 1024 ** 2

type Options = EncodeDiskOptions & { readonly format: ReadableFormat }

const cases: readonly (readonly [options: Options, sizeBytes: number])[] = [
  [{ format: 'vmdk' }, 512],
  [{ format: 'vmdk' }, 40 * MiB],
  [{ format: 'vmdk', vmdk: { adapterType: 'ide' } }, 33 * MiB + 512],
  [{ format: 'vmdk', compressionLevel: 1 }, 5 * 1024 * MiB + 66_048],
  [{ format: 'vmdk', subformat: 'monolithicSparse' }, 512],
  [{ format: 'vmdk', subformat: 'monolithicSparse' }, 70 * MiB + 512],
  [{ format: 'vmdk', subformat: 'monolithicSparse' }, 5 * 1024 * MiB + 66_048],
  [{ format: 'vpc' }, 512],
  [{ format: 'vpc' }, 41 * MiB + 512],
  [{ format: 'vpc', vpc: { style: 'windows' } }, 5 * 1024 * MiB + 66_048],
  [{ format: 'vpc', subformat: 'fixed' }, 33 * MiB + 512],
  [{ format: 'vhdx' }, 512],
  [{ format: 'vhdx', vhdx: { blockBytes: MiB } }, 70 * MiB + 512],
  [{ format: 'vhdx', vhdx: { logicalSectorBytes: 4096 } }, 41 * MiB],
  // Bitmaps stand between the blocks of a large disk.
  [{ format: 'vhdx', vhdx: { blockBytes: MiB } }, 9 * 1024 * MiB + 4096],
  [{ format: 'vhdx', subformat: 'fixed' }, 33 * MiB + 512],
  [{ format: 'vdi' }, 512],
  [{ format: 'vdi' }, 5 * 1024 * MiB + 66_048],
  [{ format: 'vdi', subformat: 'fixed' }, 33 * MiB + 512],
  [{ format: 'parallels' }, 512],
  [{ format: 'parallels' }, 5 * 1024 * MiB + 66_048],
]

/** Holes are passed over, of a file of many GiB as well. */
const compare = (one: string, other: string): Promise<string> =>
  tool('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', one, other)

async function compareWithQemu(options: Options, image: string, raw: string, theirs: string): Promise<void> {
  const { format } = options
  // Sectors of 4096 bytes it refuses.
  if (options.vhdx?.logicalSectorBytes === 4096) return
  if (format !== 'vpc') await tool('qemu-img', 'check', '-q', '-f', format, image)
  if (!(await convertToRaw(format, image, theirs))) throw new Error('qemu-img does not read it')
  await compare(raw, theirs)
}

test.each(cases)('%j, %d bytes: what is written is read by all', async (options, sizeBytes) => {
  await using folder = await createFolder()
  const [raw, image, written, ours, theirs] = ['raw', 'image', 'written', 'ours', 'theirs'].map((name) =>
    folder.file(name),
  ) as [string, string, string, string, string]
  const random = new Random(sizeBytes + JSON.stringify(options).length)
  const parts = await makeDisk(random, raw, sizeBytes)
  await encodeFile(raw, parts, { ...options, workers: 2 }, { streamed: image, written })
  await tool('cmp', image, written)
  await encodeFile(raw, parts, { ...options, workers: 0 }, { streamed: written })
  await tool('cmp', image, written)
  const { format } = options
  await compareWithQemu(options, image, raw, theirs)
  await readInto(format, image, ours)
  await compare(raw, ours)
  const bytes = await readFile(image)
  expect(planStream(format, bytes.subarray(0, MiB))).toMatchObject({ supported: true })
  const { spooledBytes } = await streamInto(
    random,
    format,
    bytes,
    { spool: folder.file('spool'), target: ours },
    1,
  )
  await compare(raw, ours)
  // Of data nothing waits for a table that comes behind it.
  expect(spooledBytes).toBeLessThanOrEqual(format === 'vmdk' || format === 'vpc' ? MiB : bytes.length)
})
