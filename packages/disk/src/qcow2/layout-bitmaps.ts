import { Fields } from '../layouts/fields.ts'
import { hex } from '../layouts/printable.ts'
import type { Problems } from '../layouts/problems.ts'
import type { Qcow2Header } from './layout.ts'

/**
 * Bitmaps that are taken. A reader makes every one of them in memory and compares each name with all others;
 * backup programs keep a handful.
 */
const mostBitmaps = 1024
/** Bytes that all bitmaps may take in a reader's memory: 64 of a disk of 1 TiB, a bit for 64 KiB. */
const mostBytes = 128n * 1024n ** 2n
/** Bytes of a directory that are looked at. */
const mostDirectoryBytes = 256 * 1024
const entryBytes = 24
const dirtyBitmap = 1
const farthestPlace = (1n << 63n) - 1n

/** Where the list of bitmaps is. */
export interface BitmapDirectory {
  readonly count: number
  readonly offset: number
  /** At most 256 KiB. */
  readonly bytes: number
}

/**
 * Reads the extension that says where the bitmaps are.
 *
 * @returns undefined where there are none, or none that can be looked at
 */
export function readBitmapExtension(
  data: Fields,
  at: number,
  { clusterSize }: Qcow2Header,
  problems: Problems,
): BitmapDirectory | undefined {
  const count = data.u32be(0)
  const place = data.u64be(16)
  const bytes = data.u64be(8)
  const possible = place > 0n && place <= farthestPlace && place % BigInt(clusterSize || 1) === 0n
  const fits = bytes >= BigInt(count * entryBytes) && bytes <= BigInt(mostDirectoryBytes)
  const isWhole = data.length === 24 && data.u32be(4) === 0
  if (!isWhole || count === 0 || count > mostBitmaps || !possible || !fits) {
    problems.add('tables', {
      reason: 'The bitmap directory is not one that readers take',
      offset: at,
      found: `${count} bitmaps, ${bytes} bytes at ${hex(place)}`,
      accepted: `1 to ${mostBitmaps} bitmaps, at most ${mostDirectoryBytes} bytes at a multiple of the cluster size`,
      reference: 'CVE-2015-5162',
    })
    return undefined
  }
  return place < 1n << 52n ? Object.freeze({ count, offset: Number(place), bytes: Number(bytes) }) : undefined
}

/**
 * Goes over the list of bitmaps. A reader makes each of them as large as the disk needs it, also where all of them
 * share one table, so what counts is their number times the disk's size.
 *
 * @param directory the list, or what the file has of it; undefined where it has gone by
 * @see https://www.qemu.org/docs/master/interop/qcow2.html, "Bitmaps extension"
 */
export function checkBitmaps(
  directory: Uint8Array | undefined,
  { count, offset, bytes }: BitmapDirectory,
  header: Pick<Qcow2Header, 'clusterSize' | 'exactSizeBytes'>,
  problems: Problems,
): void {
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    problems.add('tables', { reason, offset: at, found, accepted, reference: 'CVE-2015-5162' })
  if (directory === undefined) {
    wrong('The bitmap directory lies over other tables', offset, hex(offset), 'a place of its own')
    return
  }
  const cluster = BigInt(header.clusterSize)
  let total = 0n
  let end = 0
  for (let index = 0; index < count; index += 1) {
    const at = end
    const entry = readBitmapEntry(directory, at)
    if (directory.length < bytes || at + entry.length > directory.length) {
      problems.add('truncated', {
        reason: 'The bitmap directory ends before its last bitmap',
        offset: offset + at,
        found: `${directory.length} bytes`,
        accepted: `${count} bitmaps`,
      })
      return
    }
    const { type, granularity, tableEntries } = entry
    if (type !== dirtyBitmap || granularity < 9 || granularity > 31) {
      const found = `type ${type}, ${granularity} bits`
      wrong('A bitmap is of no known kind', offset + at + 16, found, 'type 1, 9 to 31 bits')
      return
    }
    const size = bitmapBytes(header.exactSizeBytes, granularity)
    const clusters = (size + cluster - 1n) / cluster
    if (BigInt(tableEntries) > clusters) {
      const found = `${tableEntries} entries`
      wrong('The table of a bitmap is larger than its disk', offset + at + 8, found, `at most ${clusters}`)
      return
    }
    total += size
    end = at + Math.ceil(entry.length / 8) * 8
  }
  if (total > mostBytes) {
    const found = `${count} bitmaps, ${total} bytes`
    wrong('The bitmaps take more memory than a reader may need', offset, found, `at most ${mostBytes} bytes`)
  }
}

/** What an entry of the directory says. */
export interface BitmapEntry {
  readonly tableOffset: bigint
  readonly tableEntries: number
  readonly flags: number
  readonly type: number
  readonly granularity: number
  readonly nameBytes: number
  readonly extraBytes: number
  /** Bytes of the whole entry; the next one begins at the next multiple of 8. */
  readonly length: number
}

export function readBitmapEntry(directory: Uint8Array, at: number): BitmapEntry {
  const entry = new Fields(directory).part(at, entryBytes)
  const nameBytes = entry.u16be(18)
  const extraBytes = entry.u32be(20)
  return {
    tableOffset: entry.u64be(0),
    tableEntries: entry.u32be(8),
    flags: entry.u32be(12),
    type: entry.u8(16),
    granularity: entry.u8(17),
    nameBytes,
    extraBytes,
    length: entryBytes + nameBytes + extraBytes,
  }
}

/** One bit for each part of the disk. */
export function bitmapBytes(diskBytes: bigint, granularity: number): bigint {
  const part = 1n << BigInt(granularity)
  return ((diskBytes + part - 1n) / part + 7n) / 8n
}
