import { type Disk, MiB, type RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import { type BlockTable, holeBlock, zeroBlock } from '../blocks/block-map.ts'
import { Recent } from '../blocks/recent.ts'
import { refuse } from '../disk-format-error.ts'
import { ImageFile } from '../image-file.ts'
import type { OpenDiskOptions } from '../open-disk-options.ts'
import { readVhdxLayout, type VhdxLayout } from './vhdx-layout.ts'

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
 * @see Microsoft, [MS-VHDX], 2.5 "BAT"
 */
export async function openVhdx(reader: RandomAccessReader, options: OpenDiskOptions = {}): Promise<VhdxDisk> {
  options.signal?.throwIfAborted()
  const layout = await readVhdxLayout(reader)
  const file = new ImageFile(reader, 'vhdx')
  const { sizeBytes, blockBytes, blocksPerRun, tableOffset, reserved } = layout
  const blocks = Math.ceil(sizeBytes / blockBytes)
  const pages = new Recent<BlockTable>(keptPages)
  const entryOf = (block: number): number => block + Math.floor(block / blocksPerRun)

  async function readPage(first: number): Promise<BlockTable> {
    const count = Math.min(blocksAtOnce, blocks - first)
    const from = entryOf(first)
    const offset = tableOffset + from * 8
    const view = await file.read(
      offset,
      (entryOf(first + count - 1) + 1 - from) * 8,
      'the block allocation table',
    )
    const places = new Float64Array(count)
    for (let index = 0; index < count; index += 1) {
      const at = (entryOf(first + index) - from) * 8
      const length = Math.min(blockBytes, sizeBytes - (first + index) * blockBytes)
      places[index] = placeOf(view, at, offset + at, length)
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

  const map = {
    format: 'vhdx',
    sizeBytes,
    blockBytes,
    compressed: false,
    placeUnitBytes: MiB,
    placesFrom: 0,
    reserved,
    load: (block: number) => {
      const first = Math.floor(block / blocksAtOnce) * blocksAtOnce
      return pages.get(first, () => readPage(first))
    },
  }
  return { layout, ...createBlockDisk(file, map, options.signal) }
}
