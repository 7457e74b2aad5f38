import { type Layout, MiB } from '@disk-image/core'
import type { FileRange } from '../blocks/block-map.ts'
import { Problems } from '../layouts/problems.ts'
import type { VhdxHead, VhdxRegions } from './vhdx-head.ts'
import type { VhdxMetadata } from './vhdx-metadata.ts'

/** What one parse of a VHDX's headers, regions and metadata yields. Offsets and sizes in bytes. */
export interface VhdxLayout extends Layout {
  readonly format: 'vhdx'
  readonly blockBytes: number
  /** 512 or 4096, where there is no problem. */
  readonly sectorBytes: number
  /** Payload blocks between two entries for sector bitmaps. */
  readonly blocksPerRun: number
  /** The block allocation table. */
  readonly tableOffset: number
  /** Entries that it must have: payload blocks, and after each run of them a sector bitmap's. */
  readonly entries: number
  /** Header section, log and regions: no block is there. */
  readonly reserved: readonly FileRange[]
}

/** Puts together what head and metadata say, and compares the table with the disk. */
export function createVhdxLayout(
  headProblems: VhdxHead['problems'],
  { bat, all }: VhdxRegions,
  metadata: VhdxMetadata,
): VhdxLayout {
  const problems = [...headProblems, ...metadata.problems]
  const { blockBytes, sectorBytes, isSized } = metadata
  const sizeBytes = Number(metadata.sizeBytes ?? 0n)
  const blocksPerRun = isSized ? (sectorBytes * 2 ** 23) / blockBytes : 0
  const blocks = isSized ? Math.ceil(sizeBytes / blockBytes) : 0
  const entries = blocks === 0 ? 0 : blocks + Math.floor((blocks - 1) / blocksPerRun)
  if (entries * 8 > bat.length) {
    const own = new Problems('vhdx')
    own.add('tables', {
      reason: 'The block allocation table is too small for the virtual size',
      offset: Number(bat.offset),
      found: `${bat.length} bytes`,
      accepted: `at least ${entries * 8}`,
      reference: 'CVE-2015-5162',
    })
    problems.push(...own.list)
  }
  return Object.freeze({
    format: 'vhdx',
    sizeBytes,
    blockBytes,
    sectorBytes,
    blocksPerRun,
    tableOffset: Number(bat.offset),
    entries,
    reserved: [
      { offset: 0, length: MiB },
      ...all.map(({ offset, length }) => ({ offset: Number(offset), length })),
    ],
    problems: Object.freeze(problems),
  })
}
