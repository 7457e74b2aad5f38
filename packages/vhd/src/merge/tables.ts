import { type DynamicLayout, sectorBytes, viewOf } from '@disk-image/disk/vhd'
import type { FileTarget } from '../files/vhd-file.ts'
import { readMap, writeBatmap } from './grow.ts'

/** Entries of the table that are written in one go. */
const chunkEntries = 65_536

/** What a merge changed in a disk's tables. */
export interface TableChanges {
  /** The first and the last entry that changed; `last` is -1 where none did. */
  first: number
  last: number
  /** One bit per block, the highest first: set where every sector of the block is written now. */
  readonly full: Uint8Array
}

/** Writes the table's changed sectors, and the batmap's bits of blocks that are full now. */
export async function writeTables(
  target: FileTarget,
  dynamic: DynamicLayout,
  { first, last, full }: TableChanges,
): Promise<void> {
  for (let from = first; from <= last; from += chunkEntries) {
    await writeEntries(target, dynamic, from, Math.min(from + chunkEntries, last + 1))
  }
  if (last >= 0) await target.sync()
  const { batmap } = dynamic
  if (batmap === undefined) return
  const map = await readMap(target, batmap)
  const before = Uint8Array.from(map)
  for (const [index, bits] of full.entries()) map[index] = (map[index] as number) | bits
  if (batmap.intact && Buffer.compare(before, map) === 0) return
  await writeBatmap(target, batmap, map)
  await target.sync()
}

async function writeEntries(
  target: FileTarget,
  { header, table }: DynamicLayout,
  from: number,
  to: number,
): Promise<void> {
  const perSector = sectorBytes / 4
  // Whole sectors, so that a disk writes none in halves.
  const start = Math.floor(from / perSector) * perSector
  const end = Math.min(Math.ceil(to / perSector) * perSector, table.length)
  const bytes = new Uint8Array((end - start) * 4)
  const view = viewOf(bytes)
  for (let index = start; index < end; index += 1) view.setUint32((index - start) * 4, table[index] as number)
  await target.write(bytes, header.tableOffset + start * 4)
}
