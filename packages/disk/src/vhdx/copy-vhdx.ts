import { type CallOptions, MiB, type RandomAccessReader } from '@disk-image/core'
import { readFully, readVhdxLayout, refuseVhdx, type VhdxLayout } from './vhdx-layout.ts'

/** Takes a disk from one end to the other. */
export interface DiskReceiver {
  data(offset: number, bytes: Uint8Array): Promise<void>
  zero(offset: number, length: number): Promise<void>
}

/** Options of {@link copyVhdx}. */
export interface CopyVhdxOptions extends CallOptions {
  readonly imageId: string
}

/** Entries of the table that are read at once. */
const entriesAtOnce = 8192

/**
 * The disk of a VHDX, for what its blocks hold: what is not there costs no reading, however large the disk.
 *
 * @throws {ImageUnacceptableError} where a block is none that a disk without a parent can have
 * @see Microsoft, [MS-VHDX], 2.5 "BAT"
 */
export async function copyVhdx(
  file: RandomAccessReader,
  receiver: DiskReceiver,
  options: CopyVhdxOptions,
): Promise<VhdxLayout> {
  const { imageId, signal, onProgress } = options
  const layout = await readVhdxLayout(file, imageId)
  const { sizeBytes, blockBytes } = layout
  let zeroFrom = 0
  for await (const { offset, place } of blocksOf(file, layout, imageId)) {
    signal?.throwIfAborted()
    if (place === undefined) continue
    if (offset > zeroFrom) await receiver.zero(zeroFrom, offset - zeroFrom)
    const length = Math.min(blockBytes, sizeBytes - offset)
    for (let done = 0; done < length; done += MiB) {
      signal?.throwIfAborted()
      const bytes = await readFully(file, imageId, place + done, Math.min(MiB, length - done))
      await receiver.data(offset + done, bytes)
    }
    zeroFrom = offset + length
    onProgress?.({ stage: 'convert', completed: zeroFrom, total: sizeBytes, unit: 'bytes' })
  }
  if (sizeBytes > zeroFrom) await receiver.zero(zeroFrom, sizeBytes - zeroFrom)
  onProgress?.({ stage: 'convert', completed: sizeBytes, total: sizeBytes, unit: 'bytes' })
  return layout
}

interface Block {
  /** Into the disk. */
  readonly offset: number
  /** Into the file; undefined where nothing is stored, which reads as zeroes. */
  readonly place: number | undefined
}

async function* blocksOf(
  file: RandomAccessReader,
  layout: VhdxLayout,
  imageId: string,
): AsyncGenerator<Block, void, void> {
  const blocks = Math.ceil(layout.sizeBytes / layout.blockBytes)
  const entryOf = (block: number): number => block + Math.floor(block / layout.blocksPerRun)
  let view: DataView = new DataView(new ArrayBuffer(0))
  let from = 0
  for (let block = 0; block < blocks; block += 1) {
    const entry = entryOf(block)
    if (entry >= from + view.byteLength / 8) {
      from = entry
      const length = Math.min(entriesAtOnce, entryOf(blocks - 1) + 1 - entry) * 8
      const bytes = await readFully(file, imageId, layout.tableOffset + entry * 8, length)
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    const at = (entry - from) * 8
    yield {
      offset: block * layout.blockBytes,
      place: placeOf(view, at, imageId, layout.tableOffset + entry * 8),
    }
  }
}

/** Not present, undefined, zero, and unmapped in both of its numbers: nothing is stored. */
const nothingStored = new Set([0, 1, 2, 3, 5])
const fullyPresent = 6

function placeOf(view: DataView, at: number, imageId: string, entryOffset: number): number | undefined {
  const state = view.getUint8(at) & 7
  if (nothingStored.has(state)) return undefined
  const place = (view.getUint32(at + 4, true) * 4096 + (view.getUint32(at, true) >>> 20)) * MiB
  if (state !== fullyPresent || place < MiB) {
    return refuseVhdx(imageId, 'a block is in a state that only a disk with a parent has', entryOffset)
  }
  return place
}
