import { type BlockMap, type BlockTable, holeBlock, zeroBlock } from '../blocks/block-map.ts'
import { Recent } from '../blocks/recent.ts'
import { refuse } from '../disk-format-error.ts'
import type { ImageFile } from '../image-file.ts'
import type { VmdkLayout } from './vmdk-layout.ts'

const sector = 512
const zeroMark = 1
/** Entries of the directory that are read at once. */
const directoryPage = 8192
const keptPages = 4
const keptTables = 64

/** Grains as blocks: directory and tables are read where they are needed. */
export function createVmdkBlocks(file: ImageFile, layout: VmdkLayout): BlockMap {
  const { tableEntries, directoryEntries, directoryOffset, marksZero, compressed, metadataEnd } = layout
  const pages = new Recent<DataView>(keptPages)
  const tables = new Recent<BlockTable>(keptTables)

  async function tableOf(index: number): Promise<number> {
    const first = Math.floor(index / directoryPage) * directoryPage
    const view = await pages.get(first, () =>
      file.read(
        directoryOffset + first * 4,
        Math.min(directoryPage, directoryEntries - first) * 4,
        'the grain directory',
      ),
    )
    return view.getUint32((index - first) * 4, true) * sector
  }

  async function load(block: number): Promise<BlockTable> {
    const index = Math.floor(block / tableEntries)
    const offset = await tableOf(index)
    if (offset !== 0) return tables.get(index, () => readTable(index, offset))
    // Directories of large disks are mostly empty: what follows on this page is known as well.
    let behind = index + 1
    const pageEnd = Math.min(directoryEntries, (Math.floor(index / directoryPage) + 1) * directoryPage)
    while (behind < pageEnd && (await tableOf(behind)) === 0) behind += 1
    return { first: index * tableEntries, count: (behind - index) * tableEntries }
  }

  async function readTable(index: number, offset: number): Promise<BlockTable> {
    const view = await file.read(offset, tableEntries * 4, 'a grain table')
    const first = index * tableEntries
    const used = Math.min(tableEntries, Math.ceil(layout.sizeBytes / layout.grainBytes) - first)
    const places = new Float64Array(used)
    for (let entry = 0; entry < used; entry += 1) {
      places[entry] = placeOf(view.getUint32(entry * 4, true), offset + entry * 4)
    }
    return { first, count: used, places, range: { offset, length: tableEntries * 4 } }
  }

  function placeOf(entry: number, entryOffset: number): number {
    if (entry === 0) return holeBlock
    if (entry === zeroMark && marksZero) return zeroBlock
    const place = entry * sector
    if (place >= metadataEnd && place < file.sizeBytes) return place
    return refuse('vmdk-grain-outside-file', 'a grain lies outside the file, or in its header', {
      found: `sector ${entry}`,
      offset: entryOffset,
      accepted: `sectors from ${metadataEnd / sector} to ${Math.ceil(file.sizeBytes / sector) - 1}`,
    })
  }

  return {
    format: 'vmdk',
    sizeBytes: layout.sizeBytes,
    blockBytes: layout.grainBytes,
    compressed,
    placeUnitBytes: sector,
    placesFrom: 0,
    reserved: [
      { offset: 0, length: metadataEnd },
      { offset: directoryOffset, length: directoryEntries * 4 },
    ],
    load,
  }
}
