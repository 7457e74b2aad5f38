import { type Disk, type EncodedImage, InvalidError, MiB } from '@disk-image/core'
import { blockParts, tableParts } from '../encode/block-parts.ts'
import { DataMap } from '../encode/data-map.ts'
import type { EncodeOptions } from '../encode/encode-options.ts'
import { imageOfParts } from '../encode/image-of-parts.ts'
import { viewOf } from '../layouts/fields.ts'
import { storedDisk } from '../raw/stored-disk.ts'

const headerBytes = 64
const blockBytes = MiB
const blockSectors: number = blockBytes / 512
/** A place has 32 bits, and so has a table's length. */
const mostBlocks = 2 ** 32 - 1

/** Lays a disk out as a growing Parallels disk: header and table, then the blocks that hold data, in order. */
export async function encodeParallels(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  if (options.subformat !== undefined) {
    throw new InvalidError({ reason: `a Parallels disk has no subformats, so ${options.subformat} is none` })
  }
  const blocks = Math.ceil(disk.size / blockBytes)
  if (blocks < 1 || blocks >= mostBlocks) {
    throw new InvalidError({ reason: `a Parallels disk holds 1 byte to 4 PiB, not ${disk.size} bytes` })
  }
  const map = await DataMap.read(disk, blockBytes, options)
  const sectors = Math.ceil(disk.size / 512)
  const tableEnd = headerBytes + blocks * 4
  const firstBlock = Math.ceil(tableEnd / blockBytes)
  const head = new Uint8Array(headerBytes)
  const view = viewOf(head)
  head.set(Buffer.from('WithouFreSpacExt', 'latin1'))
  const numbers = [2, 16, Math.floor(sectors / (16 * 32)) >>> 0, blockSectors, blocks] as const
  for (const [index, value] of numbers.entries()) view.setUint32(16 + index * 4, value, true)
  view.setBigUint64(36, BigInt(sectors), true)
  view.setUint32(48, firstBlock * blockSectors, true)
  return imageOfParts({
    format: 'parallels',
    sizeBytes: (firstBlock + map.count) * blockBytes,
    async *parts(call) {
      yield head
      yield* tableParts(blocks, 4, (table, at, block) => {
        if (map.has(block)) table.setUint32(at, firstBlock + map.rank(block), true)
        return map.has(block)
      })
      yield firstBlock * blockBytes - tableEnd
      yield* blockParts(storedDisk(disk), { map, blockBytes }, call)
    },
  })
}
