import type { Disk } from './disk.ts'

/** Where a run of a chain's bytes comes from. A class for the reason in docs/decisions/0013-offsets-in-classes.md. */
export class Piece {
  readonly start: number
  readonly end: number
  /** Index of the disk that has the data; `undefined` where no disk has. */
  readonly level: number | undefined
  /** Byte of that disk's file; 0 where there is none. */
  readonly fileOffset: number
  /** No disk has the run, and none below could: it reads as zero whatever is below. */
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
        pieces.push(new Piece(Math.max(from, stop), to, undefined, 0, true))
      }
      if (from >= stop) continue
      cutters[level]?.(from, stop, (runStart, runEnd, fileOffset) => {
        if (fileOffset !== undefined) {
          pieces.push(new Piece(runStart, runEnd, level, fileOffset, true))
        } else passed.push([runStart, runEnd])
      })
    }
    open = passed
    if (open.length === 0) break
  }
  for (const [from, to] of open) {
    pieces.push(new Piece(from, to, undefined, 0, false))
  }
  return pieces.sort((a, b) => a.start - b.start)
}
