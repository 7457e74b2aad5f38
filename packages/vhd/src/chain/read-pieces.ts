import { allocateBuffer } from '@disk-image/io'
import type { BufferPool } from '../io/buffer-pool.ts'
import type { Disk } from './disk.ts'
import type { Piece } from './resolve.ts'

/** Two runs with less between them are read in one go: cheaper than two reads. */
const gapBytes = 128 * 1024

/**
 * Reads the data of pieces into a buffer that starts at byte `base` of the disk. Bytes of pieces without data
 * are left as they are.
 *
 * @param scratch buffers as large as a range of pieces
 */
export async function readPieces(
  disks: readonly Disk[],
  pieces: readonly Piece[],
  buffer: Uint8Array,
  base: number,
  scratch?: BufferPool,
): Promise<void> {
  for (const [level, disk] of disks.entries()) {
    const own = pieces.filter((piece) => piece.level === level)
    for (let at = 0; at < own.length;) {
      const first = own[at] as Piece
      let last = first
      let next = at + 1
      for (; next < own.length; next += 1) {
        const piece = own[next] as Piece
        const apart = piece.start - last.end
        if (apart > gapBytes || piece.fileOffset - first.fileOffset !== piece.start - first.start) break
        last = piece
      }
      await readSpan(disk, own.slice(at, next), buffer, base, scratch)
      at = next
    }
  }
}

async function readSpan(
  disk: Disk,
  span: readonly Piece[],
  buffer: Uint8Array,
  base: number,
  scratch: BufferPool | undefined,
): Promise<void> {
  const first = span[0] as Piece
  const last = span[span.length - 1] as Piece
  if (span.length === 1) {
    await disk.source.read(buffer.subarray(first.start - base, first.end - base), first.fileOffset)
    return
  }
  const length = last.end - first.start
  const whole = scratch?.take() ?? allocateBuffer(length)
  try {
    await disk.source.read(whole.subarray(0, length), first.fileOffset)
    for (const { start, end } of span) {
      buffer.set(whole.subarray(start - first.start, end - first.start), start - base)
    }
  } finally {
    scratch?.giveBack(whole)
  }
}
