import type { VhdEncodeOptions } from '../encode/encode-options.ts'
import { encodeBatmapHeader, encodeFooter, encodeHeader } from './encode.ts'
import { epochSeconds, footerBytes, roundUp, sectorBytes, type VhdType } from './footer.ts'
import { headerBytes } from './header.ts'
import { batmapBytes } from './read-layout.ts'

/** Bytes of a block where nothing else is asked for. */
export const defaultBlockBytes: number = 2 * 1024 ** 2

/** In whose way a disk is made. */
export type VhdStyle = NonNullable<VhdEncodeOptions['style']>

/** What a new disk is made from. */
export interface NewDisk {
  readonly type: VhdType
  readonly sizeBytes: number
  readonly style: VhdStyle
  readonly blockSizeBytes?: number | undefined
  readonly uniqueId: string
  /** Milliseconds since 1970. */
  readonly createdMs: number
}

/** A new disk's metadata, as it lies at the start of the file. */
export interface NewDiskMetadata {
  readonly footer: Uint8Array
  readonly header: Uint8Array
  /** Footer, header, empty table and batmap; empty for a fixed disk. */
  readonly bytes: Uint8Array
  readonly tableOffset: number
  readonly blockSizeBytes: number
  /** Where the batmap is, or undefined. */
  readonly batmapOffset: number | undefined
  readonly entries: number
}

/** Lays a new disk out: footer, header, table, batmap. */
export function layOut(disk: NewDisk): NewDiskMetadata {
  const { type, sizeBytes, style, blockSizeBytes = defaultBlockBytes } = disk
  const footer = encodeFooter({
    type,
    sizeBytes,
    uniqueId: disk.uniqueId,
    timestamp: Math.max(0, Math.floor(disk.createdMs / 1000) - epochSeconds),
    ...(style === 'xenserver'
      ? { creatorApplication: 'tap\0', creatorVersion: 0x1_00_03, creatorHost: '\0\0\0\0' }
      : { creatorApplication: 'win ', creatorVersion: 0xa_00_00, creatorHost: 'Wi2k' }),
  })
  const entries = Math.ceil(sizeBytes / blockSizeBytes)
  const tableOffset = footerBytes + headerBytes
  const header = encodeHeader({ tableOffset, maximumEntries: entries, blockSizeBytes })
  if (type === 'fixed') {
    const none = { tableOffset, blockSizeBytes, batmapOffset: undefined, entries }
    return { footer, header, bytes: new Uint8Array(), ...none }
  }
  const table = new Uint8Array(Math.max(sectorBytes, roundUp(entries * 4, sectorBytes))).fill(0xff)
  const parts: Uint8Array[] = [footer, header, table]
  const batmapOffset = style === 'xenserver' ? tableOffset + table.length : undefined
  if (batmapOffset !== undefined) {
    const map = new Uint8Array(batmapBytes(entries))
    parts.push(encodeBatmapHeader(batmapOffset, map), map)
  }
  return { footer, header, bytes: Buffer.concat(parts), tableOffset, blockSizeBytes, batmapOffset, entries }
}

/** Gives out places for new blocks behind the data of a file. */
export interface BlockAllocator {
  /** Where the next block's bitmap goes. */
  next(): number
  /** Behind the last block that was given out. */
  end(): number
  /** What `end` would be after so many more blocks. */
  endAfter(count: number): number
}

/** Page that a block's data is aligned to, as XenServer does. */
const pageBytes = 4096

/** @param endOfData where the file's data ends now */
export function createBlockAllocator(
  endOfData: number,
  bitmapBytes: number,
  blockBytes: number,
): BlockAllocator {
  // Blocks smaller than a page would lose more than they gain.
  const unit = blockBytes >= pageBytes ? pageBytes : 512
  const place = (end: number): number => roundUp(end + bitmapBytes, unit) - bitmapBytes
  const stride = roundUp(bitmapBytes + blockBytes, unit)
  let end = endOfData
  return {
    next() {
      const start = place(end)
      end = start + bitmapBytes + blockBytes
      return start
    },
    end: () => end,
    endAfter: (count) => (count === 0 ? end : place(end) + (count - 1) * stride + bitmapBytes + blockBytes),
  }
}
