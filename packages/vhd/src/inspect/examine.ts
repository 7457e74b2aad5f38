import { fields } from '../format/checksum.ts'
import { headerBytes, maximumBlocks, maximumDiskBytes, roundUp, sectorBytes } from '../format/constants.ts'
import { decodeHeader, type HeaderProblem, type VhdHeader } from '../format/header.ts'
import { maximumLocatorBytes } from '../format/locator.ts'
import { readBytes, type ByteSource } from '../io/byte-source.ts'
import { findBatmap } from './batmap.ts'
import { findFooter, type FoundFooter } from './footers.ts'
import type { VhdIssue } from './issue.ts'
import type { DynamicLayout, Layout } from './layout.ts'
import { judgeTable } from './table.ts'

const problems: Readonly<Record<HeaderProblem, string>> = {
  cookie: 'has no "cxsparse" cookie',
  checksum: 'has a wrong checksum',
  version: 'has a version other than 1.0',
  'table-offset': 'says that the block allocation table is beyond any file',
}

/**
 * Reads a file's metadata and judges all of it. Never throws for what the file contains: a file that can't be
 * read comes back as its list of violations, one of them `fatal`.
 */
export async function examine(
  source: ByteSource,
): Promise<Layout | { readonly found: FoundFooter | undefined; readonly issues: readonly VhdIssue[] }> {
  const found = await findFooter(source)
  if ('rule' in found) return { found: undefined, issues: [found] }
  const issues = [...found.issues]
  const fatal = (rule: string, reason: string, offset: number, value?: string): typeof failed => {
    issues.push({ severity: 'fatal', rule, reason, offset, ...(value === undefined ? {} : { found: value }) })
    return failed
  }
  const failed = { found, issues }
  const { footer } = found
  const footerOffset = found.origin === 'start' ? 0 : source.size - found.tailBytes
  if (footer.currentSizeBytes > maximumDiskBytes) {
    const size = `${footer.currentSizeBytes} bytes`
    return fatal('size', 'the disk is larger than 2040 GiB', footerOffset + 48, size)
  }
  if (footer.type === 'fixed') {
    if (footer.currentSizeBytes + found.tailBytes > source.size) {
      const size = `${footer.currentSizeBytes} bytes`
      return fatal('fixed-size', 'the file is smaller than its disk', footerOffset + 48, size)
    }
    if (footer.currentSizeBytes + found.tailBytes < source.size) {
      const reason = 'there are bytes between the disk and the footer'
      issues.push({ severity: 'warning', rule: 'fixed-gap', reason, offset: footer.currentSizeBytes })
    }
    return { fileBytes: source.size, found, dynamic: undefined, issues }
  }
  if (footer.creatorApplication.startsWith('tap') && footer.creatorVersion === 1) {
    return fatal('bitmap-order', 'its bitmaps are in the order of blktap 0.1', footerOffset + 32)
  }
  const headerOffset = footer.headerOffset ?? Number.MAX_SAFE_INTEGER
  if (headerOffset < sectorBytes || headerOffset + headerBytes > source.size) {
    return fatal(
      'header-offset',
      'the header is outside of the file',
      footerOffset + 16,
      String(headerOffset),
    )
  }
  const bytes = await readBytes(source, headerOffset, headerBytes)
  const header = decodeHeader(bytes)
  if (typeof header === 'string')
    return fatal(`header-${header}`, `the header ${problems[header]}`, headerOffset)
  const shape = judgeShape(header, headerOffset, footer.currentSizeBytes, source.size)
  if ('rule' in shape) {
    issues.push(shape)
    return failed
  }
  const dynamic: Omit<DynamicLayout, 'endOfData' | 'batmap' | 'overlapped'> = {
    header,
    headerOffset,
    headerBytes: bytes,
    ...shape,
    table: await readTable(source, header.tableOffset, shape.blockCount),
  }
  const batmap = await findBatmap(source, found, dynamic)
  issues.push(...batmap.issues, ...locatorIssues(header, headerOffset, source.size))
  const table = judgeTable(source.size, found, { ...dynamic, batmap: batmap.batmap })
  issues.push(...table.issues)
  return {
    fileBytes: source.size,
    found,
    dynamic: {
      ...dynamic,
      batmap: table.overlapped.has('batmap') ? undefined : batmap.batmap,
      endOfData: table.endOfData,
      overlapped: table.overlapped,
    },
    issues,
  }
}

function judgeShape(
  header: VhdHeader,
  headerOffset: number,
  sizeBytes: number,
  fileBytes: number,
): VhdIssue | { readonly blockCount: number; readonly bitmapBytes: number } {
  const block = header.blockSizeBytes
  const powerOfTwo = block > 0 && (block & (block - 1)) === 0
  if (!powerOfTwo || block < sectorBytes || block > 2 * 1024 ** 2) {
    return {
      severity: 'fatal',
      rule: 'block-size',
      reason: 'the block size is not a power of two from 512 bytes to 2 MiB',
      found: `${block} bytes`,
      offset: headerOffset + 32,
    }
  }
  const blockCount = Math.ceil(sizeBytes / block)
  if (blockCount > maximumBlocks || blockCount > header.maximumEntries) {
    return {
      severity: 'fatal',
      rule: 'table-size',
      reason: 'the block allocation table has not the entries that the disk needs',
      found: `${header.maximumEntries} entries, ${blockCount} needed`,
      offset: headerOffset + 28,
    }
  }
  if (header.tableOffset < sectorBytes || header.tableOffset + header.maximumEntries * 4 > fileBytes) {
    return {
      severity: 'fatal',
      rule: 'table-offset',
      reason: 'the block allocation table is not inside the file',
      found: `${header.maximumEntries} entries at ${header.tableOffset}`,
      offset: headerOffset + 16,
    }
  }
  return { blockCount, bitmapBytes: roundUp(Math.ceil(block / sectorBytes / 8), sectorBytes) }
}

async function readTable(source: ByteSource, offset: number, entries: number): Promise<Uint32Array> {
  const bytes = await readBytes(source, offset, entries * 4)
  const view = fields(bytes)
  const table = new Uint32Array(entries)
  for (let index = 0; index < entries; index += 1) table[index] = view.getUint32(index * 4)
  return table
}

function locatorIssues(header: VhdHeader, headerOffset: number, fileBytes: number): VhdIssue[] {
  return header.locators
    .filter(
      ({ offset, lengthBytes, spaceBytes }) =>
        lengthBytes > maximumLocatorBytes || lengthBytes > spaceBytes || offset + lengthBytes > fileBytes,
    )
    .map(({ index, platform }) => ({
      severity: 'error',
      rule: 'locator-bounds',
      reason: `parent locator ${index} is outside of its space or of the file`,
      found: JSON.stringify(platform),
      offset: headerOffset + 576 + index * 24,
    }))
}
