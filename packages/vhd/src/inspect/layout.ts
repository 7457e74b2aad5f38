import type { Batmap } from '../format/batmap.ts'
import type { VhdHeader } from '../format/header.ts'
import type { FoundFooter } from './footers.ts'
import type { VhdIssue } from './issue.ts'

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

/** Everything that is known of a file after its metadata was read, and everything that is wrong with it. */
export interface Layout {
  readonly fileBytes: number
  readonly found: FoundFooter
  readonly dynamic: DynamicLayout | undefined
  readonly issues: readonly VhdIssue[]
}
