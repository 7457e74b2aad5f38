import { readFile, writeFile } from 'node:fs/promises'
import { DiskFormatError, openDisk, type ReadableFormat, VhdError } from '@disk-image/disk'
import { Qcow2DecodeError } from '@disk-image/disk/qcow2'
import { Random } from '../../random.ts'
import { buildByHand } from './by-hand.ts'
import { mutate } from './mutate.ts'
import { NotStreamed, streamInto } from '../../stream-into.ts'
import { convertToRaw, createFolder, makeDisk, openReader, readInto, tool } from './tools.ts'

const MiB = 1024 ** 2
/** Larger disks are read, but not compared: what makes them large is zero. */
const mostComparedBytes = 256 * MiB

const options: Readonly<Record<string, readonly [string, ...string[]]>> = {
  vmdk: ['subformat=monolithicSparse', 'subformat=streamOptimized', 'zeroed_grain=on', 'compat6=on'],
  vdi: ['static=off', 'static=off', 'static=on'],
  parallels: ['cluster_size=64k', 'cluster_size=1M', 'cluster_size=4k'],
  qcow2: ['extended_l2=on', 'extended_l2=on,cluster_size=16k', 'cluster_size=4k'],
  vhdx: ['block_size=1M', 'block_size=2M', 'subformat=fixed', 'block_state_zero=off'],
  vpc: ['force_size=on', 'force_size=off', 'subformat=fixed,force_size=on', 'subformat=fixed'],
}

/** The formats that are changed. */
export const campaignFormats = ['vmdk', 'vdi', 'parallels', 'vhdx', 'vpc', 'qcow2'] as const

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

/** How many images were read, and refused. */
export interface Tally {
  read: number
  /** Of these, those that were read as a stream, too. */
  streamed: number
  refused: number
  readonly rules: Map<string, number>
}

/**
 * Makes one image, damages it several times, and compares what is read of it with what qemu-img reads.
 *
 * @throws where an image is read that qemu-img does not read, or reads otherwise
 */
export async function runCampaign(
  format: (typeof campaignFormats)[number],
  seed: number,
  mutants: number,
  tally: Tally,
): Promise<void> {
  const random = new Random(seed)
  await using folder = await createFolder()
  const image = folder.file('image')
  const byHand = random.chance(0.3) ? buildByHand(random, format) : undefined
  const choice = byHand === undefined ? random.pick(options[format] as [string]) : 'by hand'
  const bytes = byHand ?? (await makeImage(random, format, choice, folder))
  for (let count = 0; count <= mutants; count += 1) {
    const mutant = count === 0 ? { bytes, what: 'nothing' } : mutate(random, format, bytes)
    await writeFile(image, mutant.bytes)
    try {
      const isRead = await compare(format, image, [folder.file('ours'), folder.file('theirs')], tally)
      await compareStream(random, format, mutant.bytes, folder, isRead, tally)
    } catch (error) {
      throw new Error(`${format} ${choice}, seed ${seed}, mutant ${count}: ${mutant.what}`, { cause: error })
    }
  }
}

async function makeImage(
  random: Random,
  format: string,
  choice: string,
  folder: { file(name: string): string },
): Promise<Buffer> {
  const [raw, good] = [folder.file('raw'), folder.file('good')]
  await makeDisk(random, raw, 512 * (1 + random.below(random.pick([100, 10_000, 40_000]))))
  await tool('qemu-img', 'convert', '-f', 'raw', '-O', format, '-o', choice, raw, good)
  return readFile(good)
}

async function compare(
  format: ReadableFormat,
  image: string,
  [ours, theirs]: readonly [string, string],
  tally: Tally,
): Promise<boolean> {
  try {
    await using reader = await openReader(image)
    const disk = await openDisk(reader, format)
    if (disk.size > mostComparedBytes) {
      await disk.copyTo({ data: () => undefined, zero: () => undefined })
      return false
    }
    await readInto(format, image, ours)
  } catch (error) {
    if (!isRefusal(error)) throw error
    tally.refused += 1
    tally.rules.set(error.rule, (tally.rules.get(error.rule) ?? 0) + 1)
    return false
  }
  tally.read += 1
  if (!(await convertToRaw(format, image, theirs))) throw new Error('qemu-img does not read it')
  if (format === 'vpc') await compareSectors(ours, theirs)
  else await tool('qemu-img', 'compare', '-q', '-f', 'raw', '-F', 'raw', ours, theirs)
  return true
}

/** A stream and random access give the same, or both refuse; a stream may leave an image to random access. */
async function compareStream(
  random: Random,
  format: ReadableFormat,
  bytes: Uint8Array,
  folder: { file(name: string): string },
  isRead: boolean,
  tally: Tally,
): Promise<void> {
  const files = { spool: folder.file('spool'), target: folder.file('streamed') }
  try {
    const { sizeBytes } = await streamInto(random, format, bytes, files)
    if (sizeBytes > mostComparedBytes) return
  } catch (error) {
    if (error instanceof NotStreamed) return
    if (!isRefusal(error)) throw error
    if (isRead && !streamRules.has(error.rule)) throw new Error('as a stream it is refused', { cause: error })
    return
  }
  if (!isRead) throw new Error('it is read only as a stream')
  tally.streamed += 1
  await tool('cmp', folder.file('ours'), files.target)
}

function isRefusal(error: unknown): error is DiskFormatError | Qcow2DecodeError | VhdError {
  return error instanceof DiskFormatError || error instanceof Qcow2DecodeError || error instanceof VhdError
}

/** qemu-img shows what a block has in sectors that the block's bitmap says are not there. They are zero. */
async function compareSectors(ours: string, theirs: string): Promise<void> {
  const [one, other] = await Promise.all([readFile(ours), readFile(theirs)])
  const sector = Buffer.alloc(512)
  for (let at = 0; at < one.length; at += 512) {
    const read = one.subarray(at, at + 512)
    if (!read.equals(other.subarray(at, at + 512)) && !read.equals(sector.subarray(0, read.length))) {
      throw new Error(`the sector at ${at} is another one`)
    }
  }
}
