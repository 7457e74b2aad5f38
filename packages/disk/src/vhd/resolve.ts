import { allocateBuffer } from '@disk-image/io'
import type { ChainDisk } from './chain-disk.ts'

/** Two extents with less between them are read in one go: cheaper than two reads. */
const gapBytes = 128 * 1024

/** Where an extent of a chain comes from. A class for the reason in docs/decisions/0013-offsets-in-classes.md. */
export class ChainExtent {
  readonly start: number
  readonly end: number
  /** Index of the disk that has the data; `undefined` where no disk has. */
  readonly level: number | undefined
  /** Byte of that disk's file; 0 where there is none. */
  readonly fileOffset: number
  /** No disk has the extent, and none below could: it reads as zero whatever is below. */
  readonly ended: boolean

  constructor(start: number, end: number, level: number | undefined, fileOffset: number, ended: boolean) {
    this.start = start
    this.end = end
    this.level = level
    this.fileOffset = fileOffset
    this.ended = ended
  }
}

/**
 * Cuts a range into extents, in order and without gaps. A disk hides what is below it wherever a sector's bit
 * is set, and behind its own end, where it reads as zero.
 */
export async function resolveRange(
  disks: readonly ChainDisk[],
  start: number,
  end: number,
): Promise<ChainExtent[]> {
  const cutters = await Promise.all(disks.map((disk) => disk.load(start, end)))
  const extents: ChainExtent[] = []
  let open: (readonly [number, number])[] = [[start, end]]
  for (const [level, disk] of disks.entries()) {
    const passed: (readonly [number, number])[] = []
    for (const [from, to] of open) {
      const stop = Math.min(to, disk.sizeBytes)
      if (stop < to) extents.push(new ChainExtent(Math.max(from, stop), to, undefined, 0, true))
      if (from >= stop) continue
      cutters[level]?.(from, stop, (extentStart, extentEnd, fileOffset) => {
        if (fileOffset === undefined) passed.push([extentStart, extentEnd])
        else extents.push(new ChainExtent(extentStart, extentEnd, level, fileOffset, true))
      })
    }
    open = passed
    if (open.length === 0) break
  }
  for (const [from, to] of open) extents.push(new ChainExtent(from, to, undefined, 0, false))
  return extents.sort((a, b) => a.start - b.start)
}

/**
 * Reads the data of extents into a buffer that starts at byte `base` of the disk. Bytes of extents without data
 * are left as they are.
 *
 * @param scratch buffers that are used again from call to call
 */
export async function readExtents(
  disks: readonly ChainDisk[],
  extents: readonly ChainExtent[],
  buffer: Uint8Array,
  base: number,
  scratch: Uint8Array[],
): Promise<void> {
  for (const [level, disk] of disks.entries()) {
    const own = extents.filter((extent) => extent.level === level)
    for (let at = 0; at < own.length;) {
      const first = own[at] as ChainExtent
      let last = first
      let next = at + 1
      for (; next < own.length; next += 1) {
        const extent = own[next] as ChainExtent
        const apart = extent.start - last.end
        if (apart > gapBytes || extent.fileOffset - first.fileOffset !== extent.start - first.start) break
        last = extent
      }
      await readTogether(disk, own.slice(at, next), buffer, base, scratch)
      at = next
    }
  }
}

/** Reads neighbours of one file in one go; what lies between them is another disk's. */
async function readTogether(
  { source }: ChainDisk,
  extents: readonly ChainExtent[],
  buffer: Uint8Array,
  base: number,
  scratch: Uint8Array[],
): Promise<void> {
  const first = extents[0] as ChainExtent
  const last = extents[extents.length - 1] as ChainExtent
  if (extents.length === 1) {
    await source.read(buffer.subarray(first.start - base, first.end - base), first.fileOffset)
    return
  }
  const length = last.end - first.start
  const known = scratch.pop()
  const whole = known !== undefined && known.length >= length ? known : allocateBuffer(buffer.length)
  await source.read(whole.subarray(0, length), first.fileOffset)
  for (const { start, end } of extents) {
    buffer.set(whole.subarray(start - first.start, end - first.start), start - base)
  }
  scratch.push(whole)
}
