import { type Disk, type Layout, MiB, type RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { type BlockMap, type BlockTable, holeBlock, zeroBlock } from '../blocks/block-map.ts'
import { openBlockStream } from '../blocks/block-stream.ts'
import { Recent } from '../blocks/entry-table.ts'
import { DiskFormatError, refuse, requireSound } from '../errors.ts'
import { ImageFile, type OpenDiskOptions } from '../image-file.ts'
import { planLayout, type StreamFormat } from '../stream/stream-decoder.ts'
import { parseVhdxHead, vhdxHeadBytes } from './vhdx-head.ts'
import { createVhdxLayout, type VhdxLayout } from './vhdx-layout.ts'
import { parseVhdxMetadata } from './vhdx-metadata.ts'

/** The disk of a VHDX. */
export interface VhdxDisk extends Disk {
  readonly layout: VhdxLayout
}

/** Blocks whose entries are read at once. */
const blocksAtOnce = 8192
const keptPages = 8
/** Not present, undefined; zero; and unmapped in both of its numbers. */
const holeStates: ReadonlySet<number> = new Set([0, 1, 3, 5])
const zeroState = 2
const fullyPresent = 6

/**
 * Opens a dynamic or fixed VHDX for reading anywhere.
 *
 * @throws {DiskFormatError} with the rule that the image breaks, here and on every read
 */
export async function openVhdx(reader: RandomAccessReader, options: OpenDiskOptions = {}): Promise<VhdxDisk> {
  options.signal?.throwIfAborted()
  const file = new ImageFile(reader, 'vhdx')
  const layout = await readLayout(file)
  return { layout, ...createBlockDisk(file, createVhdxBlocks(file, layout), options.signal) }
}

/**
 * Reads headers, region tables and metadata of a dynamic or fixed VHDX.
 *
 * @throws {DiskFormatError} where the log has to be replayed, the disk has a parent, or a bound is broken
 */
export function readVhdxLayout(reader: RandomAccessReader): Promise<VhdxLayout> {
  return readLayout(new ImageFile(reader, 'vhdx'))
}

/** A VHDX that comes as a stream. Its head does not tell its size. */
export const vhdxStream: StreamFormat<Layout> = {
  plan: (head, options) => {
    const { problems } = parseVhdxHead(head)
    const plan = planLayout(Object.freeze({ format: 'vhdx', sizeBytes: 0, problems }), options)
    return plan.supported ? { ...plan, sizeBytes: undefined } : plan
  },
  open: (layout, options) => {
    const openBlocks = async (file: ImageFile): Promise<BlockMap> =>
      createVhdxBlocks(file, await readLayout(file))
    return openBlockStream(layout, openBlocks, options)
  },
}

async function readLayout(file: ImageFile): Promise<VhdxLayout> {
  const head = await file.readBytes(0, vhdxHeadBytes, 'the region tables')
  const { problems, regions } = parseVhdxHead(head)
  if (problems[0] !== undefined) throw new DiskFormatError(problems[0])
  if (regions === undefined) return refuse('vhdx-header', 'there is no region table')
  for (const { offset, length } of regions.all) file.requireInside(Number(offset), length, 'a region')
  const asking = parseVhdxMetadata(regions.metadata)
  let step = asking.next()
  while (step.done !== true) {
    const { offset, length } = step.value
    step = asking.next(await file.readBytes(offset, length, 'the metadata'))
  }
  const layout = createVhdxLayout(problems, regions, step.value)
  requireSound(layout)
  return layout
}

/** @see Microsoft, [MS-VHDX], 2.5 "BAT" */
function createVhdxBlocks(file: ImageFile, layout: VhdxLayout): BlockMap {
  const { sizeBytes, blockBytes, blocksPerRun, tableOffset, reserved } = layout
  const blocks = Math.ceil(sizeBytes / blockBytes)
  const pages = new Recent<BlockTable>(keptPages)
  const entryOf = (block: number): number => block + Math.floor(block / blocksPerRun)

  async function readPage(first: number): Promise<BlockTable> {
    const count = Math.min(blocksAtOnce, blocks - first)
    const from = entryOf(first)
    const offset = tableOffset + from * 8
    const length = (entryOf(first + count - 1) + 1 - from) * 8
    const view = await file.read(offset, length, 'the block allocation table')
    const places = new Float64Array(count)
    for (let index = 0; index < count; index += 1) {
      const at = (entryOf(first + index) - from) * 8
      const blockLength = Math.min(blockBytes, sizeBytes - (first + index) * blockBytes)
      places[index] = placeOf(view, at, offset + at, blockLength)
    }
    return { first, count, places }
  }

  function placeOf(view: DataView, at: number, entryOffset: number, length: number): number {
    const state = view.getUint8(at) & 7
    if (holeStates.has(state)) return holeBlock
    if (state === zeroState) return zeroBlock
    const place = (view.getUint32(at + 4, true) * 4096 + (view.getUint32(at, true) >>> 20)) * MiB
    if (state !== fullyPresent) {
      refuse('vhdx-block-state', 'a block is in a state that only a disk with a parent has', {
        found: `state ${state}`,
        offset: entryOffset,
        accepted: 'present, zero, or not there',
      })
    }
    if (place < MiB || place + length > file.sizeBytes) {
      refuse('vhdx-block-outside-file', 'a block lies outside the file, or in its header', {
        found: `byte ${place}`,
        offset: entryOffset,
        accepted: `from 1 MiB to ${file.sizeBytes - length}`,
      })
    }
    return place
  }

  return {
    format: 'vhdx',
    sizeBytes,
    blockBytes,
    isCompressed: false,
    placeUnitBytes: MiB,
    placesFrom: 0,
    reserved,
    load: (block: number) => {
      const first = Math.floor(block / blocksAtOnce) * blocksAtOnce
      return pages.get(first, () => readPage(first))
    },
  }
}
