import type { Layout, Refusal } from '@disk-image/core'
import { judgeVhdFooter, latin1, parseVhdFooter, type VhdFooter } from './footer.ts'
import { headerBytes, parseVhdHeader, type VhdHeader } from './header.ts'

/** What the head of a VHD tells that comes as a stream. */
export interface VhdHead extends Layout {
  readonly format: 'vhd'
  /** Bytes of the disk; 0 where only the end tells, which is so of a fixed disk. */
  readonly sizeBytes: number
  /** Absent of a fixed disk, which has no mark at its head, and where there is a problem. */
  readonly dynamic: DynamicHead | undefined
}

/** Where a dynamic disk has its table and blocks. */
export interface DynamicHead {
  readonly footer: VhdFooter
  readonly header: VhdHeader
  readonly headerOffset: number
  readonly headerBytes: Uint8Array
  readonly blockCount: number
  readonly bitmapBytes: number
}

/**
 * Reads the head of an image that is said to be a VHD. What does not begin with a footer is a fixed disk, or none, which
 * its end tells.
 *
 * @param head the first MiB, or all of a shorter image
 * @param mayHaveParent whether it may be one that has a parent, which is given, too
 */
export function parseVhdHead(head: Uint8Array, mayHaveParent: boolean = false): VhdHead {
  const base = { format: 'vhd', sizeBytes: 0, dynamic: undefined } as const
  if (latin1(head, 0, 8) !== 'conectix') return Object.freeze({ ...base, problems: [] })
  const footer = parseVhdFooter(head)
  const problems: Refusal[] = judgeVhdFooter(footer, 0)
  if (footer.type !== 'dynamic' && !(mayHaveParent && footer.type === 'differencing')) {
    const reason = 'only a dynamic disk that has no parent begins with a footer and can be read alone'
    problems.push({ rule: 'footer-type', reason, offset: 60, found: footer.type ?? `${footer.typeNumber}` })
  }
  const offset = footer.headerOffset ?? Number.MAX_SAFE_INTEGER
  if (offset + headerBytes > head.length) {
    const reason = 'the header of the dynamic disk is not in the first MiB'
    problems.push({ rule: 'header-offset', reason, offset: 16, found: `${offset}` })
    return Object.freeze({ ...base, problems })
  }
  const bytes = head.slice(offset, offset + headerBytes)
  const place = { offset: footer.dataOffset, diskBytes: footer.currentSize }
  const { header, blockCount, bitmapBytes, ...judged } = parseVhdHeader(bytes, place)
  problems.push(...judged.problems)
  if (problems.length > 0 || header === undefined || blockCount === undefined) {
    return Object.freeze({ ...base, problems })
  }
  const dynamic = {
    footer: footer as VhdFooter,
    header,
    headerOffset: offset,
    headerBytes: bytes,
    blockCount,
    bitmapBytes,
  }
  return Object.freeze({ ...base, sizeBytes: footer.currentSizeBytes, dynamic, problems })
}
