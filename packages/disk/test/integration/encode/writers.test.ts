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
]

/** Holes are passed over, of a file of many GiB as well. */
const compare = (one: string, other: string): Promise<string> =>
  tool('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', one, other)

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
  await tool('qemu-img', 'check', '-q', '-f', format, image)
  expect(await convertToRaw(format, image, theirs)).toBe(true)
  await compare(raw, theirs)
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
  // Of data nothing waits for a table.
  expect(spooledBytes).toBeLessThan(MiB)
})
