import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { ReadableFormat } from '@disk-image/disk'
import { isZero } from '@disk-image/io'
import { Random } from '../../random.ts'
import { convertToRaw, createFolder } from '../formats/tools.ts'
import { type Kind, kinds } from './kinds.ts'
import type { ReaderProcess, ReadResult } from './reader-process.ts'
import type { Sample } from './sample.ts'
import { readBySecondReader, unwrapByTools } from './second-readers.ts'

/**
 * Only a stream of grains reads those that no table has, and where a table lies over them. Where a fixed VHD has bytes
 * behind its disk, they are written before its footer tells. And only the stream of a qcow2 sees the whole file, and so
 * whether two of its clusters share a place.
 */
const streamRules: ReadonlySet<string> = new Set([
  'fixed-gap',
  'vmdk-grain-tables',
  'vmdk-grain-data',
  'vmdk-block-used-twice',
  'qcow2-cluster-used-twice',
])

/** libqcow knows neither zeros nor subclusters nor zstd, and libvmdk reads an extent within a file from its start. */
const unknownToSecond = / -z |discard|extended_l2|zstd|after each other/

/** How many images were made and damaged, and what came of them. */
export interface Tally {
  made: number
  damaged: number
  /** As qemu-img, or the tools of an envelope, read it. */
  read: number
  /** Of these, those that were read as a stream, too. */
  streamed: number
  /** Of those that were made, those that a second reader reads alike. */
  second: number
  refused: number
  /** Of those that were damaged, those whose damage nobody can see. */
  undetected: number
  readonly rules: Map<string, number>
}

export const createTally = (): Tally => ({
  made: 0,
  damaged: 0,
  read: 0,
  streamed: 0,
  second: 0,
  refused: 0,
  undetected: 0,
  rules: new Map(),
})

/**
 * Makes one image, damages it several times, and compares what is read of it with what others read.
 *
 * @param folder in which the reader may read and write
 * @throws where an image is read that qemu-img does not read, or reads otherwise
 */
export async function runCampaign(
  name: string,
  seed: number,
  mutants: number,
  {
    reader,
    folder,
    tally,
  }: { readonly reader: ReaderProcess; readonly folder: string; readonly tally: Tally },
): Promise<void> {
  const kind = kinds[name]
  if (kind === undefined) throw new TypeError(`no kind ${name}`)
  const random = new Random(seed)
  await using scratch = await createFolder()
  const good = await kind.generate(random, scratch)
  for (let count = 0; count <= mutants; count += 1) {
    const sample = count === 0 ? good : kind.mutate(random, good)
    try {
      const read = await compare(kind, sample, seed + count, { reader, folder, tally })
      if (count === 0) {
        if (read.rule !== undefined) throw new Error(`it is refused: ${read.rule}`)
        const image = path.join(folder, 'in', [...sample.files.keys()][0] ?? '')
        const isKnown = !unknownToSecond.test(good.what)
        if (isKnown && (await readBySecondReader(name, image, scratch.file('second')))) {
          await requireAlike(path.join(folder, 'ours'), scratch.file('second'), name === 'vpc')
          tally.second += 1
        }
      }
    } catch (error) {
      const what = count === 0 ? 'as it was made' : `mutant ${count}: ${sample.what}`
      throw new Error(`${name}, seed ${seed} (${good.what}), ${what}`, { cause: error })
    }
    if (count === 0) tally.made += 1
    else tally.damaged += 1
  }
}

async function compare(
  kind: Kind,
  sample: Sample,
  seed: number,
  {
    reader,
    folder,
    tally,
  }: { readonly reader: ReaderProcess; readonly folder: string; readonly tally: Tally },
): Promise<ReadResult> {
  const files = [...sample.files.keys()]
  await rm(path.join(folder, 'in'), { recursive: true, force: true })
  await mkdir(path.join(folder, 'in'))
  for (const [name, bytes] of sample.files) await writeFile(path.join(folder, 'in', name), bytes)
  const { read, streamed } = await reader.read({ format: kind.format, folder, files, seed })
  if (read.sizeBytes !== undefined && streamed.rule !== undefined && !streamRules.has(streamed.rule)) {
    throw new Error(`as a stream it is refused: ${streamed.rule}`)
  }
  if (read.rule !== undefined) {
    if (streamed.sizeBytes !== undefined) throw new Error(`it is read only as a stream: ${read.rule}`)
    tally.refused += 1
    tally.rules.set(read.rule, (tally.rules.get(read.rule) ?? 0) + 1)
  }
  if (read.sizeBytes === undefined) return read
  const [image, ours, theirs] = [`in/${files[0] ?? ''}`, 'ours', 'theirs'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string]
  tally.read += 1
  if (kind.format === 'wrapped') {
    if (await unwrapByTools(image, theirs, read)) {
      await requireAlike(ours, theirs).catch((error: unknown) => {
        if (!isUnchecked(sample) || !(error instanceof OtherSectorError)) throw error
        tally.undetected += 1
      })
    }
  } else await requireAsQemu(kind.format, image, { ours, theirs, isSet: files.length > 1 })
  if (streamed.sizeBytes === undefined) return read
  await requireAlike(ours, path.join(folder, 'streamed'))
  tally.streamed += 1
  return read
}

async function requireAsQemu(
  format: ReadableFormat,
  image: string,
  { ours, theirs, isSet }: { readonly ours: string; readonly theirs: string; readonly isSet: boolean },
): Promise<void> {
  try {
    if (!(await convertToRaw(format, image, theirs))) throw new Error('qemu-img does not read it')
    await requireAlike(ours, theirs, format === 'vpc')
  } catch (error) {
    // It leaves out extents that are only read.
    if (!isSet || !(await readBySecondReader('vmdk-set', image, theirs))) throw error
    await requireAlike(ours, theirs)
  }
}

/**
 * Whether a frame of zstd has no checksum: two versions of libzstd, Node.js' own and that of the tool, make different
 * bytes of some damage, and neither sees it.
 */
function isUnchecked({ files }: Sample): boolean {
  const [bytes = Buffer.alloc(0)] = files.values()
  return bytes.subarray(0, 4).toString('hex') === '28b52ffd' && ((bytes[4] ?? 0) & 4) === 0
}

class OtherSectorError extends Error {}

/**
 * @param isVhd qemu-img shows what a block has in sectors that the block's bitmap says are not there. They are zero.
 */
async function requireAlike(ours: string, theirs: string, isVhd = false): Promise<void> {
  await using one = await open(ours)
  await using other = await open(theirs)
  const [{ size }, { size: otherSize }] = [await one.stat(), await other.stat()]
  // A size that is no whole number of sectors is cut by qemu-img (VHD), or filled up (VDI).
  if (Math.abs(size - otherSize) >= 512 || (size % 512 === 0 && size !== otherSize)) {
    throw new Error(`${size} bytes are read, and ${otherSize} by ${path.basename(theirs)}`)
  }
  const common = Math.min(size, otherSize)
  const [mine, their] = [Buffer.alloc(2 ** 20), Buffer.alloc(2 ** 20)]
  for (let at = 0; at < common; at += mine.length) {
    const { bytesRead } = await one.read(mine, 0, Math.min(mine.length, common - at), at)
    await other.read(their, 0, bytesRead, at)
    if (mine.subarray(0, bytesRead).equals(their.subarray(0, bytesRead))) continue
    for (let sector = 0; sector < bytesRead; sector += 512) {
      const bytes = mine.subarray(sector, Math.min(bytesRead, sector + 512))
      if (bytes.equals(their.subarray(sector, sector + bytes.length)) || (isVhd && isZero(bytes))) continue
      throw new OtherSectorError(`the sector at ${at + sector} is another one to ${path.basename(theirs)}`)
    }
  }
}
