import { roundUp } from '@disk-image/disk/vhd'

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
