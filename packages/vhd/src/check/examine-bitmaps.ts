import type { CallOptions } from '@disk-image/core'
import {
  type ByteSource,
  hasSector,
  isFull,
  readBytes,
  sectorBytes,
  unallocated,
  type VhdIssue,
  type VhdLayout,
} from '@disk-image/disk/vhd'

/** How many violations are listed. */
const listed = 16

/** Judges every block's bitmap against the disk's end and against the batmap. */
export async function examineBitmaps(
  source: ByteSource,
  { dynamic, sizeBytes }: VhdLayout,
  { signal, onProgress }: CallOptions,
): Promise<VhdIssue[]> {
  if (dynamic === undefined) return []
  const { table, header, bitmapBytes, batmap, blockCount } = dynamic
  const sectors = header.blockSizeBytes / sectorBytes
  const map = batmap?.intact !== true ? undefined : await readBytes(source, batmap.mapOffset, batmap.mapBytes)
  const issues: VhdIssue[] = []
  const add = (
    rule: string,
    severity: VhdIssue['severity'],
    reason: string,
    offset: number,
    block: number,
  ): void => {
    if (issues.length < listed) issues.push({ severity, rule, reason, offset, found: `block ${block}` })
  }
  for (const [block, entry] of table.entries()) {
    const isMarked = map !== undefined && hasSector(map, block)
    if (entry === unallocated) {
      if (isMarked && batmap !== undefined) {
        const offset = batmap.mapOffset + (block >> 3)
        add('batmap-block', 'error', 'the batmap says that a block is full which is not there', offset, block)
      }
      continue
    }
    signal?.throwIfAborted()
    const offset = entry * sectorBytes
    const bitmap = await readBytes(source, offset, bitmapBytes)
    const diskBytes = sizeBytes - block * header.blockSizeBytes
    const used = Math.min(sectors, Math.ceil(diskBytes / sectorBytes))
    if (isMarked && !isFull(bitmap, used)) {
      add('batmap-bits', 'error', 'the batmap says that a block is full whose bitmap has gaps', offset, block)
    }
    for (let sector = used; sector < sectors; sector += 1) {
      if (!hasSector(bitmap, sector)) continue
      add(
        'bitmap-end',
        'warning',
        'a bitmap has sectors behind the end of the disk',
        offset + (sector >> 3),
        block,
      )
      break
    }
    const [completed, total] = [(block + 1) * header.blockSizeBytes, blockCount * header.blockSizeBytes]
    onProgress?.({ stage: 'inspect', completed, total, unit: 'bytes' })
  }
  return issues
}
