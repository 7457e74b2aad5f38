import {
  type Batmap,
  batmapBytes,
  createBlockAllocator,
  type DynamicLayout,
  encodeBatmapHeader,
  footerBytes,
  readBytes,
  roundUp,
  sealHeader,
  sectorBytes,
  unallocated,
  VhdError,
  type VhdLayout,
  viewOf,
  withSize,
} from '@disk-image/disk/vhd'
import { ensureZero, type FileTarget } from '../files/vhd-file.ts'

/**
 * Makes a file longer by writing its footer at the new end first, so that at no instant anything else is
 * there: bytes of a guest could be taken for a footer.
 *
 * @throws {VhdError} rule `file-size` where a table could not point that far
 */
export async function extendFile(target: FileTarget, footer: Uint8Array, end: number): Promise<void> {
  if (end > unallocated * sectorBytes) {
    const reason = 'the file would be larger than 2 TiB, which its table cannot express'
    throw new VhdError({ path: target.path, rule: 'file-size', reason, found: `${end} bytes` })
  }
  const size = await target.currentSize()
  if (end <= size) return
  const offset = Math.max(end - footerBytes, roundUp(size, sectorBytes))
  await target.write(footer, offset)
  await target.sync()
}

/**
 * Makes a disk larger; what is new reads as zero. In the order of the writes the disk is at every instant
 * whole, with its old size or with its new one. Killed between its two footers, it is refused until another
 * run, or a repair, has completed it.
 */
export async function growDisk(target: FileTarget, layout: VhdLayout, sizeBytes: number): Promise<void> {
  if (layout.dynamic === undefined) await growFixed(target, layout, sizeBytes)
  else await growDynamic(target, layout, layout.dynamic, sizeBytes)
}

async function growFixed(target: FileTarget, { found }: VhdLayout, sizeBytes: number): Promise<void> {
  const oldSize = found.footer.currentSizeBytes
  const end = Math.max(sizeBytes + footerBytes, roundUp(target.size, sectorBytes))
  // The footer still says the old size: the old footer's bytes behind it are seen by nobody. What lies behind
  // the old end of the file is a hole.
  const fileBytes = await target.currentSize()
  await extendFile(target, found.bytes, end)
  const stop = Math.min(fileBytes, sizeBytes, (await target.currentSize()) - footerBytes)
  await ensureZero(target, oldSize, stop)
  await target.sync()
  const fileEnd = (await target.currentSize()) - footerBytes
  await target.write(withSize(found.bytes, sizeBytes), fileEnd)
  await target.sync()
  if (fileEnd > sizeBytes) {
    await target.write(withSize(found.bytes, sizeBytes), sizeBytes)
    await target.sync()
    await target.truncate(sizeBytes + footerBytes)
    await target.sync()
  }
}

async function growDynamic(
  target: FileTarget,
  layout: VhdLayout,
  dynamic: DynamicLayout,
  sizeBytes: number,
): Promise<void> {
  const { header } = dynamic
  const entries = Math.ceil(sizeBytes / header.blockSizeBytes)
  // The last block may be cut short by the footer.
  await extendFile(target, layout.found.bytes, roundUp(dynamic.endOfData, sectorBytes) + footerBytes)
  await clearTail(target, dynamic, layout.found.footer.currentSizeBytes)
  const end =
    entries > header.maximumEntries || dynamic.overlapped.has('spare table')
      ? await moveTable(target, layout, dynamic, entries)
      : await clearSpareEntries(target, dynamic, entries)
  await target.sync()
  await writeFooters(target, withSize(layout.found.bytes, sizeBytes), end ?? dynamic.endOfData)
}

/** Writes the copy at the start, then the footer at the end, and drops what is behind. */
export async function writeFooters(target: FileTarget, footer: Uint8Array, endOfData: number): Promise<void> {
  await target.write(footer, 0)
  await target.sync()
  await finishFile(target, footer, endOfData)
}

/** Puts the footer behind the data and drops what is behind it. */
export async function finishFile(target: FileTarget, footer: Uint8Array, endOfData: number): Promise<void> {
  const end = roundUp(endOfData, sectorBytes)
  const size = await target.currentSize()
  // First where readers look for it now, then where it stays.
  if (size > end + footerBytes) await target.write(footer, Math.max(end, size - footerBytes))
  await target.write(footer, end)
  await target.sync()
  if (size > end + footerBytes) {
    await target.truncate(end + footerBytes)
    await target.sync()
  }
}

/** A larger table, and batmap, behind all data; the header's one write switches over. */
export async function moveTable(
  target: FileTarget,
  { found }: VhdLayout,
  dynamic: DynamicLayout,
  entries: number,
): Promise<number> {
  const offset = roundUp(dynamic.endOfData, sectorBytes)
  const table = new Uint8Array(roundUp(entries * 4, sectorBytes)).fill(0xff)
  const view = viewOf(table)
  for (const [index, entry] of dynamic.table.entries()) view.setUint32(index * 4, entry)
  const parts: Uint8Array[] = [table]
  const wantsBatmap =
    found.footer.creatorApplication.startsWith('tap') && found.footer.creatorVersion > 0x1_00_00
  if (wantsBatmap) {
    const map = new Uint8Array(batmapBytes(entries))
    if (dynamic.batmap !== undefined) {
      const old = await readMap(target, dynamic.batmap)
      map.set(old.subarray(0, Math.ceil(dynamic.blockCount / 8)))
      clearBits(map, dynamic.blockCount)
    }
    parts.push(encodeBatmapHeader(offset + table.length, map), map)
  }
  const end = offset + parts.reduce((sum, { length }) => sum + length, 0)
  const moved = wantsBatmap ? lastBlock(dynamic, end) : undefined
  await extendFile(target, found.bytes, (moved?.end ?? end) + footerBytes)
  if (moved !== undefined) {
    await target.write(await readBytes(target, moved.from, moved.length), moved.to)
    view.setUint32(moved.index * 4, moved.to / sectorBytes)
  }
  await target.write(Buffer.concat(parts), offset)
  await target.sync()
  const header = Uint8Array.from(dynamic.headerBytes)
  viewOf(header).setBigUint64(16, BigInt(offset))
  viewOf(header).setUint32(28, entries)
  await target.write(sealHeader(header), dynamic.headerOffset)
  await target.sync()
  return moved?.end ?? end
}

/**
 * The last block in the file, to be moved behind a batmap: programs that don't know of batmaps take the first
 * place behind table and blocks for free.
 */
function lastBlock(
  { table, header, bitmapBytes }: DynamicLayout,
  end: number,
): { index: number; from: number; to: number; length: number; end: number } | undefined {
  let index = -1
  for (const [candidate, entry] of table.entries()) {
    if (entry !== unallocated && (index === -1 || entry > (table[index] as number))) index = candidate
  }
  if (index === -1) return undefined
  const to = createBlockAllocator(end, bitmapBytes, header.blockSizeBytes).next()
  const length = bitmapBytes + header.blockSizeBytes
  return { index, from: (table[index] as number) * sectorBytes, to, length, end: to + length }
}

/** Clears all bits of a map from `first` on. */
export function clearBits(map: Uint8Array, first: number): void {
  const byte = first >> 3
  if (byte >= map.length) return
  map[byte] = (map[byte] as number) & ~(0xff >> (first & 7))
  map.fill(0, byte + 1)
}

/** Entries that the disk did not need until now may hold anything. */
async function clearSpareEntries(
  target: FileTarget,
  { header, blockCount, batmap }: DynamicLayout,
  entries: number,
): Promise<undefined> {
  if (entries <= blockCount) return undefined
  const empty = new Uint8Array((entries - blockCount) * 4).fill(0xff)
  await target.write(empty, header.tableOffset + blockCount * 4)
  if (batmap !== undefined) {
    const map = await readMap(target, batmap)
    clearBits(map, blockCount)
    await writeBatmap(target, batmap, map)
  }
  return undefined
}

/** A batmap's map; an empty one, which is always right, where it is damaged. */
export async function readMap(target: FileTarget, batmap: Batmap): Promise<Uint8Array> {
  return batmap.intact
    ? await readBytes(target, batmap.mapOffset, batmap.mapBytes)
    : new Uint8Array(batmap.mapBytes)
}

/** Writes a batmap and its checksum; in one write where they lie together. */
export async function writeBatmap(target: FileTarget, batmap: Batmap, map: Uint8Array): Promise<void> {
  const header = await readBytes(target, batmap.headerOffset, sectorBytes)
  const sealed = encodeBatmapHeader(batmap.headerOffset, map)
  header.set(sealed.subarray(24, 28), 24)
  if (batmap.mapOffset === batmap.headerOffset + sectorBytes) {
    await target.write(Buffer.concat([header, map]), batmap.headerOffset)
    return
  }
  await target.write(map, batmap.mapOffset)
  await target.write(header, batmap.headerOffset)
}

/** What the last block has behind the old end of the disk must not come to light. */
async function clearTail(target: FileTarget, dynamic: DynamicLayout, oldSize: number): Promise<void> {
  const { table, bitmapBytes, header, blockCount } = dynamic
  const inBlock = oldSize - (blockCount - 1) * header.blockSizeBytes
  const entry = table[blockCount - 1]
  if (entry === undefined || entry === unallocated || inBlock === header.blockSizeBytes) return
  const start = entry * sectorBytes
  await ensureZero(target, start + bitmapBytes + inBlock, start + bitmapBytes + header.blockSizeBytes)
  const bitmap = await readBytes(target, start, bitmapBytes)
  const before = Uint8Array.from(bitmap)
  clearBits(bitmap, Math.ceil(inBlock / sectorBytes))
  if (Buffer.compare(bitmap, before) !== 0) await target.write(bitmap, start)
}
