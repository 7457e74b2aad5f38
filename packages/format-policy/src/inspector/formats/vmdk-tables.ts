import { viewOf, vmdkDirectoryEntries, type VmdkLayout } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { scan, type Steps } from '../engine/steps.ts'

/** Grain tables that are looked into; each of them spans 32 MiB of a usual disk, so these span 1 TiB. */
const mostTables = 32768
const largestDirectoryBytes = 512 * 1024 ** 2

/** The place that reaches furthest, and the entry that names it. */
export interface FurthestGrain {
  end: number
  what: string
  entryOffset: number
  /** Grain tables that the directory names, and grains that they name. */
  tables: number
  grains: number
}

/** Goes over the grain directory and the grain tables behind it for the furthest grain. */
export function* walkDirectory({ header, isCompressed }: VmdkLayout, report: Report): Steps<FurthestGrain> {
  const furthest: FurthestGrain = { end: 0, what: 'header', entryOffset: 0, tables: 0, grains: 0 }
  const entries = vmdkDirectoryEntries(header)
  if (entries === undefined || header.directory === 0n || header.directory > 1n << 40n) return furthest
  if (entries * 4 > largestDirectoryBytes) {
    report.fail('tables', {
      reason: 'The grain directory is larger than any reader takes',
      offset: 12,
      found: `${entries} entries`,
      accepted: `at most ${largestDirectoryBytes / 4}`,
      reference: 'CVE-2015-5162',
    })
    return furthest
  }
  const tables = new Float64Array(Math.min(entries, mostTables))
  let count = 0
  yield* scan(Number(header.directory) * 512, entries * 4, (piece, at) => {
    const view = viewOf(piece)
    for (let entry = 0; entry + 4 <= piece.length; entry += 4) {
      const table = view.getUint32(entry, true)
      if (table === 0) continue
      furthest.tables += 1
      reach(furthest, table * 512 + header.tableEntries * 4, 'grain table', at + entry)
      if (count < tables.length) tables[count++] = table * 512
    }
  })
  const length = header.tableEntries * 4
  const sorted = tables.subarray(0, count).sort()
  if (sorted.some((table, index) => index > 0 && table === sorted[index - 1])) {
    report.fail('tables', {
      reason: 'Two entries of the grain directory have one grain table, which no program writes',
      offset: 56,
      found: `${count} tables, some of them twice`,
      accepted: 'a table for each entry',
      reference: 'CVE-2015-5162',
    })
  }
  for (const { start, end } of runs(sorted, length)) {
    yield* scan(start, end - start, (piece, at) => {
      // 1 marks a grain of zeros.
      const { most, entry, grains } = highest(piece, Math.max(1, Math.floor((furthest.end - 1) / 512)))
      furthest.grains += grains
      if (entry >= 0) reach(furthest, most * 512 + 1, isCompressed ? 'compressed grain' : 'grain', at + entry)
    })
  }
  return furthest
}

/** The highest number above `floor`, entry -1 if there is none, and how many are the places of grains. */
function highest(
  piece: Uint8Array,
  floor: number,
): { readonly most: number; readonly entry: number; readonly grains: number } {
  const view = viewOf(piece)
  const last = piece.length - 4
  let most = floor
  let found = -1
  let grains = 0
  for (let entry = 0; entry <= last; entry += 4) {
    const number = view.getUint32(entry, true)
    if (number > 1) grains += 1
    if (number === 0 || number <= most) continue
    most = number
    found = entry
  }
  return { most, entry: found, grains }
}

/** Tables that follow each other directly, as one range each. */
function* runs(
  sorted: Float64Array,
  length: number,
): Generator<{ readonly start: number; readonly end: number }> {
  let start = sorted[0]
  if (start === undefined) return
  let end = start + length
  for (const table of sorted) {
    if (table <= end) {
      end = Math.max(end, table + length)
      continue
    }
    yield { start, end }
    start = table
    end = table + length
  }
  yield { start, end }
}

function reach(furthest: FurthestGrain, end: number, what: string, entryOffset: number): void {
  if (end <= furthest.end) return
  furthest.end = end
  furthest.what = what
  furthest.entryOffset = entryOffset
}
