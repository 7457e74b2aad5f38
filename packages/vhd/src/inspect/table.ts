import { footerBytes, headerBytes, sectorBytes, unallocated } from '../format/constants.ts'
import type { FoundFooter } from './footers.ts'
import type { VhdIssue } from './issue.ts'
import type { DynamicLayout } from './layout.ts'

/** How many violations of one kind are listed before the rest is only counted. */
const listed = 16

interface Region {
  readonly name: string
  readonly start: number
  readonly end: number
  readonly severity: 'fatal' | 'error'
}

/** Judges every entry of a block allocation table: inside the file, behind the metadata, used once. */
export function judgeTable(
  fileBytes: number,
  found: FoundFooter,
  dynamic: Omit<DynamicLayout, 'endOfData' | 'overlapped'>,
): {
  readonly issues: readonly VhdIssue[]
  readonly endOfData: number
  readonly overlapped: ReadonlySet<string>
} {
  const { table, bitmapBytes, header } = dynamic
  const stride = bitmapBytes + header.blockSizeBytes
  const dataEnd = fileBytes - found.tailBytes
  const regions = metadataRegions(dynamic)
  const issues = createList()
  const overlapped = new Set<string>()
  for (const [at, region] of regions.entries()) {
    for (const other of regions.slice(at + 1)) {
      if (region.start >= other.end || other.start >= region.end) continue
      overlapped.add(region.name).add(other.name)
      issues.add(
        'error',
        'metadata-overlap',
        `the ${region.name} overlaps the ${other.name}`,
        undefined,
        other.start,
      )
    }
  }
  const order = sortedIndexes(table)
  let end = Math.max(...regions.map((region) => region.end))
  let previous: number | undefined
  for (const index of order) {
    const start = (table[index] as number) * sectorBytes
    const offset = header.tableOffset + index * 4
    const found = `block ${index} at byte ${start}`
    const size = Math.min(header.blockSizeBytes, totalBytes(dynamic, index))
    if (start + bitmapBytes + size > dataEnd) {
      issues.add('fatal', 'block-past-end', 'a block reaches past the end of the file', found, offset)
    }
    if (previous !== undefined && start < (table[previous] as number) * sectorBytes + stride) {
      issues.add('fatal', 'block-overlap', `a block overlaps block ${previous}`, found, offset)
    }
    for (const region of regions) {
      if (start < region.end && start + stride > region.start) {
        const rule = `block-on-${region.name.replace(/ \d$/, '').replaceAll(' ', '-')}`
        overlapped.add(region.name)
        issues.add(region.severity, rule, `a block overlaps the ${region.name}`, found, offset)
      }
    }
    end = Math.max(end, start + stride)
    previous = index
  }
  return { issues: issues.all(), endOfData: end, overlapped }

  function totalBytes({ blockCount }: typeof dynamic, index: number): number {
    return index === blockCount - 1 ? found.footer.currentSizeBytes - index * header.blockSizeBytes : Infinity
  }
}

/** Indexes of the allocated blocks in the order in which they lie in the file. */
export function sortedIndexes(table: Uint32Array): Float64Array {
  let count = 0
  for (const entry of table) if (entry !== unallocated) count += 1
  // One number holds both, so that the numeric sort of typed arrays can be used: a million blocks in 0.1 s.
  const keys = new Float64Array(count)
  let at = 0
  for (const [index, entry] of table.entries()) {
    if (entry !== unallocated) {
      keys[at] = entry * 2 ** 21 + (index % 2 ** 21)
      at += 1
    }
  }
  if (table.length > 2 ** 21) return largeSort(table, count)
  keys.sort()
  return keys.map((key) => key % 2 ** 21)
}

function largeSort(table: Uint32Array, count: number): Float64Array {
  const indexes = new Float64Array(count)
  let at = 0
  for (const [index, entry] of table.entries()) {
    if (entry !== unallocated) {
      indexes[at] = index
      at += 1
    }
  }
  return indexes.sort((a, b) => (table[a] as number) - (table[b] as number))
}

function metadataRegions(dynamic: Omit<DynamicLayout, 'endOfData' | 'overlapped'>): Region[] {
  const { header, headerOffset, batmap, blockCount } = dynamic
  const tableEnd = header.tableOffset + blockCount * 4
  const regions: Region[] = [
    { name: 'footer copy', start: 0, end: footerBytes, severity: 'fatal' },
    { name: 'header', start: headerOffset, end: headerOffset + headerBytes, severity: 'fatal' },
    { name: 'table', start: header.tableOffset, end: tableEnd, severity: 'fatal' },
  ]
  const whole = header.tableOffset + header.maximumEntries * 4
  if (whole > tableEnd) regions.push({ name: 'spare table', start: tableEnd, end: whole, severity: 'error' })
  if (batmap !== undefined) {
    const end = batmap.mapOffset + batmap.mapBytes
    regions.push({ name: 'batmap', start: batmap.headerOffset, end, severity: 'error' })
  }
  for (const { index, offset, lengthBytes, spaceBytes } of header.locators) {
    if (lengthBytes > 0 && lengthBytes <= spaceBytes && spaceBytes <= 65_536 && offset < 2 ** 41) {
      regions.push({ name: `locator ${index}`, start: offset, end: offset + spaceBytes, severity: 'error' })
    }
  }
  return regions
}

function createList(): {
  add: (
    severity: VhdIssue['severity'],
    rule: string,
    reason: string,
    found: string | undefined,
    offset: number,
  ) => void
  all: () => VhdIssue[]
} {
  const issues: VhdIssue[] = []
  const counts = new Map<string, number>()
  return {
    add(severity, rule, reason, found, offset) {
      const count = (counts.get(rule) ?? 0) + 1
      counts.set(rule, count)
      if (count <= listed) issues.push({ severity, rule, reason, found, offset })
    },
    all: () => issues,
  }
}
