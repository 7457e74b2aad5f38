import type { Refusal } from '@disk-image/core'
import { createFormatPolicy } from '@disk-image/format-policy'
import { inspect, type Check, type InspectionResult } from '@disk-image/format-policy/inspector'
import { countSectors, createRecordingReader, mergeRanges, type ByteRange } from './recording-reader.ts'

/** Sixteen bytes as a hex dump shows them. */
export interface HexRow {
  readonly offset: number
  readonly hex: string
  readonly text: string
}

/** A check, with the bytes at the place that it names. */
export interface ShownCheck extends Check {
  readonly bytes: readonly HexRow[]
}

/** Everything that the page shows of one file. */
export interface Examined {
  readonly name: string
  readonly sizeBytes: number
  readonly result: InspectionResult
  readonly checks: readonly ShownCheck[]
  readonly ranges: readonly ByteRange[]
  readonly bytesRead: number
  readonly sectorsRead: number
  readonly readCalls: number
  readonly milliseconds: number
}

/** Bytes that are shown of the place that a failed check names. */
const shownBytes = 48

function hexRows(bytes: Uint8Array, offset: number): HexRow[] {
  const rows: HexRow[] = []
  for (let start = 0; start < bytes.length; start += 16) {
    const row = [...bytes.subarray(start, start + 16)]
    rows.push({
      offset: offset + start,
      hex: row.map((byte) => byte.toString(16).padStart(2, '0')).join(' '),
      text: row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join(''),
    })
  }
  return rows
}

async function withBytes(file: Blob, check: Check): Promise<ShownCheck> {
  const { offset } = check
  if (check.ok || offset === undefined || offset >= file.size) return { ...check, bytes: [] }
  const start = offset - (offset % 16)
  const bytes = new Uint8Array(await file.slice(start, start + shownBytes).arrayBuffer())
  return { ...check, bytes: hexRows(bytes, start) }
}

/**
 * Looks at a file in the browser, and at what had to be read for it.
 *
 * Rejects with the browser's error where the file can't be read, and with the signal's reason after an abort.
 */
export async function examineFile(file: Blob, name: string, signal: AbortSignal): Promise<Examined> {
  const reader = createRecordingReader(file)
  const started = performance.now()
  const result = await inspect(reader, { signal })
  const milliseconds = performance.now() - started
  const ranges = mergeRanges(reader.reads)
  // What is wrong comes first.
  const ordered = result.checks.toSorted((a, b) => Number(a.ok) - Number(b.ok))
  const checks = await Promise.all(ordered.map((check) => withBytes(file, check)))
  return {
    name,
    sizeBytes: file.size,
    result,
    checks,
    ranges,
    bytesRead: ranges.reduce((sum, { length }) => sum + length, 0),
    sectorsRead: countSectors(ranges),
    readCalls: reader.reads.length,
    milliseconds,
  }
}

/** What a policy would be told beside the bytes. */
export interface Claim {
  /** The record's `disk_format`; an empty text where nothing is claimed. */
  readonly claimedFormat: string
  readonly volumeSizeGiB: number | undefined
}

const policy = createFormatPolicy()

/** What the default policy refuses. */
export function judge(result: InspectionResult, { claimedFormat, volumeSizeGiB }: Claim): Refusal[] {
  const evidence = {
    inspection: result,
    claimedFormat: claimedFormat === '' ? undefined : claimedFormat,
    volumeSizeGiB,
  }
  const seen = new Set<string>()
  return policy.judgeAll(evidence).flatMap((verdict) => {
    if (verdict.ok || seen.has(verdict.rule)) return []
    seen.add(verdict.rule)
    return [verdict]
  })
}
