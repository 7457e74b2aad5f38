import { type BlockMap, type BlockTable, holeBlock, zeroBlock } from '../blocks/block-map.ts'
import { Recent } from '../blocks/entry-table.ts'
import { refuse } from '../errors.ts'
import type { ImageFile } from '../image-file.ts'

const sector = 512
const zeroMark = 1
/** Entries of the directory that are read at once. */
const directoryPage = 8192
const keptPages = 4
const keptTables = 64

/** Where grains are. Offsets and sizes in bytes. */
export interface VmdkGrains {
  readonly sizeBytes: number
  readonly grainBytes: number
  readonly isCompressed: boolean
  /** Whether an entry 1 marks a grain as zero. */
  readonly marksZero: boolean
  readonly tableEntries: number
  readonly directoryOffset: number
  readonly directoryEntries: number
  /** Behind header and descriptor. */
  readonly metadataEnd: number
}

/** Grains as blocks: directory and tables are read where they are needed. */
export function createVmdkBlocks(file: ImageFile, grains: VmdkGrains): BlockMap {
  const { tableEntries, directoryEntries, directoryOffset, marksZero, isCompressed, metadataEnd } = grains
  const pages = new Recent<DataView>(keptPages)
  const tables = new Recent<BlockTable>(keptTables)

  function pageOf(first: number): Promise<DataView> {
    const count = Math.min(directoryPage, directoryEntries - first)
    return pages.get(first, () => file.read(directoryOffset + first * 4, count * 4, 'the grain directory'))
  }

  async function load(block: number): Promise<BlockTable> {
    const index = Math.floor(block / tableEntries)
    const first = Math.floor(index / directoryPage) * directoryPage
    const page = await pageOf(first)
    const offset = page.getUint32((index - first) * 4, true) * sector
    if (offset !== 0) return tables.get(index, () => readTable(index, offset))
    // Directories of large disks are mostly empty: what follows on this page is known as well.
    let behind = index + 1
    const end = first + page.byteLength / 4
    while (behind < end && page.getUint32((behind - first) * 4, true) === 0) behind += 1
    return { first: index * tableEntries, count: (behind - index) * tableEntries }
  }

  async function readTable(index: number, offset: number): Promise<BlockTable> {
    const view = await file.read(offset, tableEntries * 4, 'a grain table')
    const first = index * tableEntries
    const used = Math.min(tableEntries, Math.ceil(grains.sizeBytes / grains.grainBytes) - first)
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
    sizeBytes: grains.sizeBytes,
    blockBytes: grains.grainBytes,
    isCompressed,
    placeUnitBytes: sector,
    placesFrom: 0,
    reserved: [
      { offset: 0, length: metadataEnd },
      { offset: directoryOffset, length: directoryEntries * 4 },
    ],
    load,
  }
}
