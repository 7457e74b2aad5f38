import type { Disk } from './disk.ts'

/** Where a run of a chain's bytes comes from. */
export interface Piece {
  readonly start: number
  readonly end: number
  /** Index of the disk that has the data; `undefined` where no disk has. */
  readonly level: number | undefined
  /** Byte of that disk's file; 0 where there is none. */
  readonly fileOffset: number
  /** No disk has the run, and none below could: it reads as zero whatever is below. */
  readonly ended: boolean
}

/**
 * Cuts a range into pieces, in order and without gaps. A disk hides what is below it wherever a sector's bit
 * is set, and behind its own end, where it reads as zero.
 */
export async function resolveRange(disks: readonly Disk[], start: number, end: number): Promise<Piece[]> {
  const cutters = await Promise.all(disks.map((disk) => disk.load(start, end)))
  const pieces: Piece[] = []
  let open: (readonly [number, number])[] = [[start, end]]
  for (const [level, disk] of disks.entries()) {
    const passed: (readonly [number, number])[] = []
    for (const [from, to] of open) {
      const stop = Math.min(to, disk.sizeBytes)
      if (stop < to) {
        pieces.push({ start: Math.max(from, stop), end: to, level: undefined, fileOffset: 0, ended: true })
      }
      if (from >= stop) continue
      cutters[level]?.(from, stop, (runStart, runEnd, fileOffset) => {
        if (fileOffset !== undefined) {
          pieces.push({ start: runStart, end: runEnd, level, fileOffset, ended: true })
        } else passed.push([runStart, runEnd])
      })
    }
    open = passed
    if (open.length === 0) break
  }
  for (const [from, to] of open) {
    pieces.push({ start: from, end: to, level: undefined, fileOffset: 0, ended: false })
  }
  return pieces.sort((a, b) => a.start - b.start)
}
