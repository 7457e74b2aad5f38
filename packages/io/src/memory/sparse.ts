import type { Target } from '@disk-image/core'

/** Zeros are looked for in steps of a page; shorter ones than this count as data: each hole costs a system call. */
const pageBytes = 4096
const leastZeroBytes = 32_768
const zeroBlock = Buffer.alloc(65_536)

/** A Buffer over the same bytes, without a copy; also over shared memory. */
function view(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

function isZeroRange(bytes: Buffer, start: number, end: number): boolean {
  // One look in JavaScript saves most calls into the runtime: data seldom starts with a zero.
  for (let from = start; from < end; from += zeroBlock.length) {
    const to = Math.min(end, from + zeroBlock.length)
    if (bytes[from] !== 0 || bytes.compare(zeroBlock, 0, to - from, from, to) !== 0) return false
  }
  return true
}

/** Whether every byte is zero. True for no bytes. */
export function isZero(chunk: Uint8Array): boolean {
  return isZeroRange(view(chunk), 0, chunk.byteLength)
}

/** A part of a chunk: `[start, end)` are offsets into it. */
export interface ChunkExtent {
  readonly start: number
  readonly end: number
  readonly zero: boolean
}

/**
 * Cuts a chunk into extents of data and of zeros, in order and without gaps, at several GiB/s.
 *
 * @param offset of the chunk in the disk: extents of zeros start and end on its pages
 */
export function splitAtZeros(
  chunk: Uint8Array,
  offset: number,
  stepBytes: number = pageBytes,
  leastBytes: number = leastZeroBytes,
): ChunkExtent[] {
  const bytes = view(chunk)
  const length = bytes.length
  const found: ChunkExtent[] = []
  let dataStart = 0
  let zeroStart = -1
  const endZeros = (end: number): void => {
    // At a chunk's edge a short extent may go on in the next chunk: it counts.
    const isLong = end - zeroStart >= leastBytes || zeroStart === 0 || end === length
    if (zeroStart < 0 || !isLong) return
    if (zeroStart > dataStart) found.push({ start: dataStart, end: zeroStart, zero: false })
    found.push({ start: zeroStart, end, zero: true })
    dataStart = end
  }
  for (let start = 0; start < length;) {
    const end = Math.min(length, start + stepBytes - ((offset + start) % stepBytes))
    if (!isZeroRange(bytes, start, end)) {
      endZeros(start)
      zeroStart = -1
    } else if (zeroStart < 0) zeroStart = start
    start = end
  }
  endZeros(length)
  if (dataStart < length) found.push({ start: dataStart, end: length, zero: false })
  return found
}

/**
 * Writes a chunk's data, and says where it is zero.
 *
 * @returns bytes of data that were written
 */
export async function writeSparsely(
  target: Pick<Target, 'write' | 'zero'>,
  chunk: Uint8Array,
  offset: number,
): Promise<number> {
  let dataBytes = 0
  for (const { start, end, zero } of splitAtZeros(chunk, offset)) {
    if (zero) {
      await target.zero(offset + start, end - start)
      continue
    }
    const isWhole = start === 0 && end === chunk.byteLength
    await target.write(isWhole ? chunk : chunk.subarray(start, end), offset + start)
    dataBytes += end - start
  }
  return dataBytes
}
