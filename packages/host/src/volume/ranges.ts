import { KiB, MiB } from '@disk-image/core'
import { isZero } from '@disk-image/io'

/** Where something lies that tells a reader what a volume is. */
export interface HeldRange {
  readonly start: number
  readonly end: number
}

/** Longer than a MiB by what VMFS has there. */
const headBytes = MiB + 4 * KiB
/** Second headers of LUKS2 and bcachefs, and VMFS. */
const furtherPlaces = [2 * MiB, 4 * MiB]

/**
 * What is written last: the head, a few places where formats repeat theirs, and of a device its last MiB, where a
 * GPT, RAID members and ZFS have labels. A file's end needs none: until the end it is where nobody looks.
 *
 * @param endBytes where the device ends; Infinity for a file
 * @returns in order, and apart
 */
export function heldRangesOf(endBytes: number): readonly HeldRange[] {
  const head = { start: 0, end: Math.min(headBytes, endBytes) }
  const tailStart = Math.max(head.end, endBytes - MiB)
  const further = furtherPlaces
    .map((start) => ({ start, end: start + 4 * KiB }))
    .filter(({ end }) => end <= tailStart)
  const tail = Number.isFinite(endBytes) && tailStart < endBytes ? [{ start: tailStart, end: endBytes }] : []
  return [head, ...further, ...tail]
}

/** A disk writes a sector whole or not at all. */
export const sectorBytes = 512

/**
 * What tells, in the first MiB, what a volume is: where a sector is, what it then has, and where in it. The first sector
 * has one whatever it holds.
 */
const signatures: readonly (readonly [place: number, text: string, offset: number])[] = [
  // GPT; LVM.
  [512, 'EFI PART', 0],
  [512, 'LABELONE', 0],
  // ext; F2FS; HFS+.
  [1024, '\x53\xef', 56],
  [1024, '\x10\x20\xf5\xf2', 0],
  [1024, 'H+', 0],
  [3584, 'SWAPSPACE2', 502],
  // GPT with larger sectors; MD; bcache and bcachefs.
  [4 * KiB, 'EFI PART', 0],
  [4 * KiB, '\xfc\x4e\x2b\xa9', 0],
  [4 * KiB, '\xc6\x85\x73\xf6\x4e\x1a\x45\xca', 24],
  // Second headers of LUKS2.
  ...[16, 32, 64, 128, 256, 512, 1024].map((size) => [size * KiB, 'SKUL\xba\xbe', 0] as const),
  // ISO 9660; UDF.
  [32 * KiB, 'CD001', 1],
  [32 * KiB, 'BEA01', 1],
  // GFS2; btrfs; ReiserFS.
  [64 * KiB, '\x01\x16\x19\x70', 0],
  [64 * KiB, '_BHRfS_M', 64],
  [64 * KiB, 'ReIsEr', 52],
]

const places = [...new Set([0, ...signatures.map(([place]) => place)])]

/** Where a volume's head has sectors with signatures, in order. */
export function signaturesIn(head: Uint8Array): readonly number[] {
  return places.filter(
    (at) =>
      at === 0 ||
      signatures.some(([place, text, offset]) => {
        const found = head.subarray(at + offset, at + offset + text.length)
        return place === at && String.fromCharCode(...found) === text
      }),
  )
}

/** Bytes and where they belong. */
export interface PlacedBytes {
  readonly start: number
  readonly bytes: Uint8Array
}

/** A part of a chunk: offsets into it. */
export interface Part {
  readonly start: number
  readonly end: number
}

/** Keeps the bytes of certain ranges in memory. A range without any is not in memory. */
export class HeldRanges {
  readonly #ranges: readonly HeldRange[]
  readonly #bytes = new Map<HeldRange, Uint8Array>()

  constructor(ranges: readonly HeldRange[]) {
    this.#ranges = ranges
  }

  get ranges(): readonly HeldRange[] {
    return this.#ranges
  }

  /** Takes what belongs to the ranges; undefined stands for zeros. @returns the parts that are left, in order */
  take(offset: number, length: number, chunk?: Uint8Array): Part[] {
    const rest: Part[] = []
    let done = 0
    for (const range of this.#ranges) {
      const start = Math.max(range.start - offset, 0)
      const end = Math.min(range.end - offset, length)
      if (start >= end) continue
      if (start > done) rest.push({ start: done, end: start })
      const from = offset + start - range.start
      if (chunk === undefined) this.#bytes.get(range)?.fill(0, from, from + end - start)
      else this.#memoryOf(range).set(chunk.subarray(start, end), from)
      done = end
    }
    if (done < length) rest.push({ start: done, end: length })
    return rest
  }

  #memoryOf(range: HeldRange): Uint8Array {
    let bytes = this.#bytes.get(range)
    if (bytes === undefined) {
      bytes = new Uint8Array(range.end - range.start)
      this.#bytes.set(range, bytes)
    }
    return bytes
  }

  /** What a range got, up to `end`; undefined where that is nothing but zeros. */
  bytesOf(range: HeldRange, end: number): Uint8Array | undefined {
    return this.#bytes.get(range)?.subarray(0, Math.max(0, end - range.start))
  }

  /** All of the first range but the sectors that tell what it is: what may be there before these are. */
  bulk(end: number): readonly PlacedBytes[] {
    const head = this.#ranges[0] && this.bytesOf(this.#ranges[0], end)
    if (head === undefined) return []
    const places = signaturesIn(head)
    const starts = places.map((place) => place + sectorBytes)
    const ends = [...places.slice(1), head.length]
    return starts
      .map((start, index) => ({ start, bytes: head.subarray(start, ends[index]) }))
      .filter(({ bytes }) => !isZero(bytes))
  }
}

const blocksPerGroup = 1024

/** Remembers, to the MiB, where something was written: 1 KiB of memory for each GiB that was touched. */
export class WrittenBlocks {
  readonly #groups = new Map<number, Uint8Array>()
  #end = 0

  add(offset: number, length: number): void {
    if (length === 0) return
    const last = Math.floor((offset + length - 1) / MiB)
    for (let block = Math.floor(offset / MiB); block <= last; block += 1) {
      const group = Math.floor(block / blocksPerGroup)
      let blocks = this.#groups.get(group)
      if (blocks === undefined) {
        blocks = new Uint8Array(blocksPerGroup)
        this.#groups.set(group, blocks)
      }
      blocks[block % blocksPerGroup] = 1
    }
    this.#end = Math.max(this.#end, offset + length)
  }

  /** False only where nothing in the range was written. Behind the last byte written it is exact. */
  mayHave(offset: number, length: number): boolean {
    const end = Math.min(offset + length, this.#end)
    if (offset >= end) return false
    const last = Math.floor((end - 1) / MiB)
    for (let block = Math.floor(offset / MiB); block <= last; block += 1) {
      if (this.#groups.get(Math.floor(block / blocksPerGroup))?.[block % blocksPerGroup] === 1) return true
    }
    return false
  }
}
