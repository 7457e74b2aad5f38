import type { RandomAccessReader } from '@disk-image/core'

/** Bytes from `offset` on, `length` of them. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** A reader that remembers what was asked of it. */
export interface RecordingReader extends RandomAccessReader {
  readonly reads: readonly ByteRange[]
}

/** Reads a file that somebody picked, piece by piece: nothing but the pieces is loaded into memory. */
export function createRecordingReader(file: Blob): RecordingReader {
  const reads: ByteRange[] = []
  return {
    size: file.size,
    reads,
    async read(offset, length) {
      const bytes = new Uint8Array(await file.slice(offset, offset + length).arrayBuffer())
      reads.push({ offset, length: bytes.length })
      return bytes
    },
  }
}

/** Ranges in order, with those that touch or overlap made one. */
export function mergeRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: { offset: number; length: number }[] = []
  for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    if (length === 0) continue
    const last = merged.at(-1)
    if (last !== undefined && offset <= last.offset + last.length) {
      last.length = Math.max(last.length, offset + length - last.offset)
    } else {
      merged.push({ offset, length })
    }
  }
  return merged
}

/** One square of the map: a part of the file, and how much of it was read. */
export interface MapCell extends ByteRange {
  /** From 0 to 1. */
  readonly readFraction: number
}

/**
 * Divides a file into at most `count` parts of the same whole number of sectors, and says of each how much was read.
 *
 * @param merged ranges as {@link mergeRanges} gives them
 */
export function drawMap(merged: readonly ByteRange[], sizeBytes: number, count: number): MapCell[] {
  if (sizeBytes === 0) return []
  const cellBytes = Math.max(sectorBytes, Math.ceil(sizeBytes / count / sectorBytes) * sectorBytes)
  const read = Array.from({ length: Math.ceil(sizeBytes / cellBytes) }, () => 0)
  for (const { offset, length } of merged) {
    const end = Math.min(sizeBytes, offset + length)
    for (let at = offset; at < end;) {
      const cell = Math.floor(at / cellBytes)
      const next = Math.min(end, (cell + 1) * cellBytes)
      read[cell] = (read[cell] ?? 0) + next - at
      at = next
    }
  }
  return read.map((bytes, index) => {
    const offset = index * cellBytes
    const length = Math.min(cellBytes, sizeBytes - offset)
    return { offset, length, readFraction: bytes / length }
  })
}

/** Bytes of a sector, the unit in which disks are addressed. */
export const sectorBytes = 512

/** Sectors that the ranges touch. */
export function countSectors(merged: readonly ByteRange[]): number {
  let sectors = 0
  let next = 0
  for (const { offset, length } of merged) {
    const first = Math.max(next, Math.floor(offset / sectorBytes))
    const end = Math.ceil((offset + length) / sectorBytes)
    sectors += Math.max(0, end - first)
    next = Math.max(next, end)
  }
  return sectors
}
