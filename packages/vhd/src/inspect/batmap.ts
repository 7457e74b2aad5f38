import { batmapBytes, decodeBatmapHeader, storedMapChecksum, type Batmap } from '../format/batmap.ts'
import { checksum } from '../format/checksum.ts'
import { roundUp, sectorBytes } from '../format/constants.ts'
import { readBytes, type ByteSource } from '../io/byte-source.ts'
import type { FoundFooter } from './footers.ts'
import type { VhdIssue } from './issue.ts'
import type { DynamicLayout } from './layout.ts'

/** Finds and judges XenServer's batmap. A damaged one is as good as none: the bitmaps are the truth. */
export async function findBatmap(
  source: ByteSource,
  { footer }: FoundFooter,
  { header }: Pick<DynamicLayout, 'header'>,
): Promise<{ readonly batmap: Batmap | undefined; readonly issues: readonly VhdIssue[] }> {
  if (!footer.creatorApplication.startsWith('tap') || footer.creatorVersion < 0x1_00_01) {
    return { batmap: undefined, issues: [] }
  }
  // A table has at least one sector, even of an empty disk.
  const offset = roundUp(header.tableOffset + Math.max(1, header.maximumEntries) * 4, sectorBytes)
  const damaged = (reason: string): { batmap: undefined; issues: VhdIssue[] } => ({
    batmap: undefined,
    issues: [{ severity: 'error', rule: 'batmap', reason, offset }],
  })
  const optional = footer.creatorVersion === 0x1_00_01
  const none = { batmap: undefined, issues: [] }
  if (offset + sectorBytes > source.size)
    return optional ? none : damaged('the batmap is outside of the file')
  const bytes = await readBytes(source, offset, sectorBytes)
  const batmap = decodeBatmapHeader(bytes, offset)
  if (batmap === undefined) return optional ? none : damaged('the batmap has no "tdbatmap" cookie')
  if (batmap.encrypted) {
    const reason = 'its data is encrypted by XenServer'
    return {
      batmap: undefined,
      issues: [{ severity: 'fatal', rule: 'encrypted', reason, offset: offset + 29 }],
    }
  }
  const needed = batmapBytes(header.maximumEntries)
  const inside = batmap.mapOffset >= offset + sectorBytes && batmap.mapOffset + needed <= source.size
  if (!inside || batmap.mapBytes < Math.ceil(header.maximumEntries / 8)) {
    return damaged("the batmap's map is outside of the file")
  }
  const map = await readBytes(source, batmap.mapOffset, needed)
  const intact = checksum(map) === storedMapChecksum(bytes)
  const issues = intact ? [] : damaged('the batmap has a wrong checksum').issues
  return { batmap: { ...batmap, mapBytes: needed, intact }, issues }
}
