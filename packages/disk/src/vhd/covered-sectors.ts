import { allocateBuffer } from '@disk-image/io'
import { VhdError } from '../errors.ts'
import { type ChainDisk, cutExtents, isFull, markSectors } from './chain-disk.ts'
import { ChainExtent, readExtents, resolveRange } from './open-vhd.ts'

/** Bytes of the disk that one page of the map stands for, the largest block of the format. */
const pageOfBytes = 2 * 1024 ** 2
const pageSectors = pageOfBytes / 512
/** Memory that the pages may take, each of a bit for a sector: 256 GiB of the disk that are covered in part. */
const mostMemoryBytes = 64 * 1024 ** 2

/** A page whose sectors are all covered; it takes no memory of its own. */
const full = new Uint8Array()

/** Which sectors of a disk the younger disks of its chain have written already: a parent hides nothing of them. */
export class CoveredSectors {
  readonly sizeBytes: number
  readonly #pages: (Uint8Array | undefined)[]
  #parts = 0

  constructor(sizeBytes: number) {
    this.sizeBytes = sizeBytes
    this.#pages = Array.from({ length: Math.ceil(sizeBytes / pageOfBytes) })
  }

  /** Clears the bits of what is covered in the bitmap of a block, which is from byte `start` to `end` of the disk. */
  claim(bitmap: Uint8Array, start: number, end: number, keeps: boolean): void {
    const fresh: [number, number][] = []
    cutExtents(bitmap, start, end, start, 0, (from, to, place) => {
      if (place !== undefined) fresh.push(...this.take(from, to, keeps))
    })
    bitmap.fill(0)
    for (const [from, to] of fresh) markSectors(bitmap, from - start, to - start)
  }

  /**
   * The extents of a range of whole sectors that nobody has covered, in order.
   *
   * @param keeps whether they are covered from now on; not where nobody comes after
   * @throws {VhdError} rule `chain-spread` where it would take too much memory
   */
  take(start: number, end: number, keeps: boolean): [from: number, to: number][] {
    const fresh: [number, number][] = []
    for (let from = start; from < end;) {
      const index = Math.floor(from / pageOfBytes)
      const pageStart = index * pageOfBytes
      const to = Math.min(end, pageStart + pageOfBytes)
      const page = this.#pages[index]
      if (page === undefined) fresh.push([from, to])
      else if (page !== full) {
        cutExtents(page, from, to, pageStart, 0, (first, last, place) => {
          if (place === undefined) fresh.push([first, last])
        })
      }
      if (keeps && page !== full) this.#mark(index, from - pageStart, to - pageStart)
      from = to
    }
    return fresh
  }

  /** Whether nothing of a range is covered. */
  isFree(start: number, end: number): boolean {
    return this.take(start, end, false).reduce((sum, [from, to]) => sum + to - from, 0) === end - start
  }

  #mark(index: number, start: number, end: number): void {
    const page = this.#pages[index] ?? new Uint8Array(end - start === pageOfBytes ? 0 : pageSectors / 8)
    if (this.#pages[index] === undefined && page.length > 0) {
      this.#parts += 1
      if (this.#parts * page.length > mostMemoryBytes) throw spreadError()
    }
    if (page.length > 0) markSectors(page, start, end)
    const isWhole = page.length === 0 || isFull(page, pageSectors)
    if (isWhole && page.length > 0) this.#parts -= 1
    this.#pages[index] = isWhole ? full : page
  }
}

function spreadError(): VhdError {
  return new VhdError({
    rule: 'chain-spread',
    reason: 'its chain has too many places of which a child has one part and a parent another',
    found: `more than ${mostMemoryBytes / (pageSectors / 8)} of ${pageOfBytes} bytes`,
    accepted: 'a chain that is coalesced, or verifyBeforeWrite, which unpacks it before it is written',
  })
}

/** More extents than these in one part are written together, in a copy that has zeros between them. */
const mostExtents = 4

/**
 * Writes extents of a part of a disk: few as they are, many in copies with the zeros between them, where nothing else
 * is in that place.
 *
 * @param bytes the part, which starts at byte `start` of the disk; the extents are inside of it
 */
export function writeExtents(
  bytes: Uint8Array,
  start: number,
  extents: readonly (readonly [from: number, to: number])[],
  covered: CoveredSectors | undefined,
  write: (bytes: Uint8Array, offset: number) => Promise<void>,
): Promise<void>[] {
  if (extents.length <= mostExtents) {
    return extents.map(([from, to]) => write(bytes.subarray(from - start, to - start), from))
  }
  const writes: Promise<void>[] = []
  for (let at = 0; at < extents.length;) {
    const first = at
    const [from] = extents[first] as readonly [number, number]
    let [, end] = extents[at] as readonly [number, number]
    for (at += 1; at < extents.length; at += 1) {
      const [next, nextEnd] = extents[at] as readonly [number, number]
      if (covered?.isFree(end, next) === false) break
      end = nextEnd
    }
    const copy = new Uint8Array(end - from)
    for (const [one, other] of extents.slice(first, at)) {
      copy.set(bytes.subarray(one - start, other - start), one - from)
    }
    writes.push(write(copy, from))
  }
  return writes
}

/** Writes what one disk of a chain has in a range, and no younger one has covered. */
export async function writeUncovered(
  disk: ChainDisk,
  [start, end]: readonly [start: number, end: number],
  { covered, keeps }: { readonly covered: CoveredSectors; readonly keeps: boolean },
  write: (bytes: Uint8Array, offset: number) => Promise<void>,
): Promise<void> {
  const buffer = allocateBuffer(pageOfBytes)
  const scratch: Uint8Array[] = []
  const stop = Math.min(end, disk.sizeBytes)
  for (let from = start; from < stop; from += pageOfBytes) {
    const to = Math.min(from + pageOfBytes, stop)
    if (!disk.mayHaveData(from, to)) continue
    const found = (await resolveRange([disk], from, to)).filter(({ level }) => level === 0)
    const fresh = found.flatMap((extent) =>
      covered
        .take(extent.start, extent.end, keeps)
        .map(([one, other]) => new ChainExtent(one, other, 0, extent.fileOffset + one - extent.start, true)),
    )
    await readExtents([disk], fresh, buffer, from, scratch)
    const extents = fresh.map((extent) => [extent.start, extent.end] as const)
    await Promise.all(writeExtents(buffer, from, extents, covered, write))
  }
}
