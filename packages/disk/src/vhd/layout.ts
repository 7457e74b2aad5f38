import type { Layout, Refusal } from '@disk-image/core'
import type { FooterFields, VhdFooter, VhdType } from './footer.ts'
import type { VhdHeader } from './header.ts'

/**
 * How bad a violation is.
 *
 * - `fatal`: the content can't be read for certain; every operation refuses
 * - `error`: an invariant is broken, but the content is certain; `repairVhd` may help
 * - `warning`: unusual, or a trap for other programs
 */
export type VhdIssueSeverity = 'fatal' | 'error' | 'warning'

/** One violation of the format, with the offset at which it is. */
export interface VhdIssue extends Refusal {
  readonly severity: VhdIssueSeverity
}

/** Which of a file's footers was taken: at the end, the short one of old files, or the copy at the start. */
export type FooterOrigin = 'end' | 'end-511' | 'start'

/** A file's footer and how it was found. */
export interface FoundFooter {
  readonly footer: VhdFooter
  /** The 512 bytes as they are in the file. */
  readonly bytes: Uint8Array
  readonly origin: FooterOrigin
  /** Bytes at the end of the file that are footer: 512, 511, or none. */
  readonly tailBytes: number
  /** What is wrong with it and its copy. */
  readonly problems: readonly VhdIssue[]
}

/**
 * Rules of footers that disagree: some readers take the one at the end and others the copy, so such a disk is
 * read by nobody but who repairs it, or completes what was interrupted.
 */
export const disagreements: ReadonlySet<string> = new Set(['footers-differ', 'footer-copy', 'footer-damaged'])

/** XenServer's table of the blocks whose sectors are all written: a hint that is never trusted. */
export interface Batmap {
  readonly headerOffset: number
  readonly mapOffset: number
  readonly mapBytes: number
  /** Whether its checksum is right. One that is not is known by its place only. */
  readonly intact: boolean
}

/** What a dynamic or differencing disk has beside its footers. */
export interface DynamicLayout {
  readonly header: VhdHeader
  readonly headerOffset: number
  /** The header's 1024 bytes as they are in the file. */
  readonly headerBytes: Uint8Array
  /** Blocks of the disk, by its current size. */
  readonly blockCount: number
  /** Bytes of the sector bitmap in front of every block, padded to whole sectors. */
  readonly bitmapBytes: number
  /** The first `blockCount` entries: sector numbers of the blocks' bitmaps. */
  readonly table: Uint32Array
  /** Absent where there is none, or none that has a place. */
  readonly batmap: Batmap | undefined
  /** Behind everything that is in use, the footer at the end apart. */
  readonly endOfData: number
  /** Parts of the metadata that overlap each other or a block, and so must never be written in place. */
  readonly overlapped: ReadonlySet<string>
}

/** What one parse of a VHD's metadata yields, and everything that is wrong with it. */
export interface VhdLayout extends Layout {
  readonly format: 'vhd'
  readonly kind: VhdType
  readonly fileBytes: number
  readonly found: FoundFooter
  /** Absent in a fixed disk, whose bytes lie where the disk has them. */
  readonly dynamic: DynamicLayout | undefined
  readonly problems: readonly VhdIssue[]
}

/** Of a file that can't be read: one of its problems is `fatal`. */
export interface UnreadableVhd {
  readonly found: FoundFooter | undefined
  readonly problems: readonly VhdIssue[]
}

/** Why a footer can't be used, as the end of a sentence about it. */
export function sayFooterProblem({ problem }: FooterFields): string {
  switch (problem) {
    case 'cookie':
      return 'has no "conectix" cookie'
    case 'poisoned':
      return 'is marked by an unfinished resize of vhd-util'
    case 'checksum':
      return 'has a wrong checksum'
    case 'type':
      return 'has a type other than fixed, dynamic and differencing'
    case 'version':
      return 'has a format version other than 1.0'
    default:
      return 'claims a size beyond any disk'
  }
}
