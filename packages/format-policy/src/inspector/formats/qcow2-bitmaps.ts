import { Fields } from '../fields.ts'
import { hex } from '../printable.ts'
import type { Report } from '../report.ts'
import { longestRead, read, type Steps } from '../engine/steps.ts'
import type { Qcow2Header } from './qcow2-header.ts'

/**
 * Bitmaps that are taken. A reader makes every one of them in memory and compares each name with all others;
 * backup programs keep a handful.
 */
const mostBitmaps = 1024
/** Bytes that all bitmaps may take in a reader's memory: 64 of a disk of 1 TiB, a bit for 64 KiB. */
const mostBytes = 128n * 1024n ** 2n
const entryBytes = 24
const dirtyBitmap = 1
const farthest = (1n << 63n) - 1n

/** Where the list of bitmaps is. */
export interface BitmapDirectory {
  readonly count: number
  readonly offset: number
  readonly bytes: number
}

/**
 * Judges the extension that says where the bitmaps are.
 *
 * @returns undefined where there are none, or none that can be looked at
 */
export function checkBitmapExtension(
  data: Fields,
  at: number,
  header: Qcow2Header,
  report: Report,
): BitmapDirectory | undefined {
  // Without its autoclear bit the extension is stale and every program ignores it.
  if ((header.autoclear & 1n) === 0n) return undefined
  const count = data.u32be(0)
  report.details.bitmaps = count
  const place = data.u64be(16)
  const bytes = data.u64be(8)
  const possible = place > 0n && place <= farthest && place % BigInt(header.clusterSize || 1) === 0n
  const fits = bytes >= BigInt(count * entryBytes) && bytes <= BigInt(longestRead)
  const isWhole = data.length === 24 && data.u32be(4) === 0
  if (!isWhole || count === 0 || count > mostBitmaps || !possible || !fits) {
    report.fail('tables', {
      reason: 'The bitmap directory is not one that readers take',
      offset: at,
      found: `${count} bitmaps, ${bytes} bytes at ${hex(place)}`,
      accepted: `1 to ${mostBitmaps} bitmaps, at most ${longestRead} bytes at a multiple of the cluster size`,
      reference: 'CVE-2015-5162',
    })
    return undefined
  }
  return place < 1n << 52n ? { count, offset: Number(place), bytes: Number(bytes) } : undefined
}

/**
 * Goes over the bitmaps. A reader makes each of them as large as the disk needs it, also where all of them share
 * one table, so what counts is their number times the disk's size.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.rst "Bitmaps extension"
 */
export function* walkBitmaps(
  { count, offset, bytes }: BitmapDirectory,
  header: Qcow2Header,
  report: Report,
): Steps<void> {
  const directory = yield* read(offset, bytes)
  const wrong = (reason: string, at: number, found: string, accepted: string): void =>
    report.fail('tables', { reason, offset: at, found, accepted, reference: 'CVE-2015-5162' })
  if (directory === undefined) {
    wrong('The bitmap directory lies over other tables', offset, hex(offset), 'a place of its own')
    return
  }
  const fields = new Fields(directory)
  let total = 0n
  let at = 0
  for (let index = 0; index < count; index += 1) {
    const entry = fields.part(at, entryBytes)
    const granularity = entry.u8(17)
    const length = entryBytes + entry.u16be(18) + entry.u32be(20)
    if (directory.length < bytes || entry.length < entryBytes || at + length > fields.length) {
      report.fail('truncated', {
        reason: 'The bitmap directory ends before its last bitmap',
        offset: offset + at,
        found: `${directory.length} bytes`,
        accepted: `${count} bitmaps`,
      })
      return
    }
    if (entry.u8(16) !== dirtyBitmap || granularity < 9 || granularity > 31) {
      const found = `type ${entry.u8(16)}, ${granularity} bits`
      wrong('A bitmap is of no known kind', offset + at + 16, found, 'type 1, 9 to 31 bits')
      return
    }
    const size = bitmapBytes(header.size, granularity)
    const clusters = (size + BigInt(header.clusterSize) - 1n) / BigInt(header.clusterSize)
    if (BigInt(entry.u32be(8)) > clusters) {
      const found = `${entry.u32be(8)} entries`
      wrong('The table of a bitmap is larger than its disk', offset + at + 8, found, `at most ${clusters}`)
      return
    }
    total += size
    at += Math.ceil(length / 8) * 8
  }
  if (total > mostBytes) {
    const found = `${count} bitmaps, ${total} bytes`
    wrong('The bitmaps take more memory than a reader may need', offset, found, `at most ${mostBytes} bytes`)
  }
}

/** One bit for each part of the disk. */
function bitmapBytes(diskBytes: bigint, granularity: number): bigint {
  const part = 1n << BigInt(granularity)
  return ((diskBytes + part - 1n) / part + 7n) / 8n
}
