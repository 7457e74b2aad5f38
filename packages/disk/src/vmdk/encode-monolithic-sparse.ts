import { type Disk, type EncodedImage, InvalidError } from '@disk-image/core'
import { blockParts, tableParts } from '../encode/block-parts.ts'
import { DataMap } from '../encode/data-map.ts'
import type { EncodeOptions } from '../encode/encode-options.ts'
import { type FilePart, imageOfParts } from '../encode/image-of-parts.ts'
import { storedDisk } from '../raw/stored-disk.ts'
import {
  grainBytes,
  grainSectors,
  mostFileSectors,
  sectorBytes,
  shapeVmdk,
  tableEntries,
  tableSectors,
} from './vmdk-writing.ts'

/**
 * Lays a disk out as the growing disk of VMware's workstations: both directories with all their tables in front, then
 * the grains that hold data, in order.
 */
export async function encodeMonolithicSparse(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  const shape = shapeVmdk('monolithicSparse', disk.size, options.vmdk ?? {})
  const map = await DataMap.read(disk, grainBytes, options)
  const directorySectors = Math.ceil((shape.tables * 4) / sectorBytes)
  const copySectors = directorySectors + shape.tables * tableSectors
  const redundantDirectory = shape.headSectors
  const directory = redundantDirectory + copySectors
  const overhead = Math.ceil((directory + copySectors) / grainSectors) * grainSectors
  const sectors = overhead + map.count * grainSectors
  if (sectors > mostFileSectors) {
    throw new InvalidError({
      reason: `a VMDK has at most 2 TiB, and this disk needs ${sectors * sectorBytes} bytes`,
    })
  }

  /** A directory and its tables. */
  function* copyAt(place: number): Generator<FilePart, void, void> {
    const tables = place + directorySectors
    yield* tableParts((directorySectors * sectorBytes) / 4, 4, (view, at, table) => {
      if (table < shape.tables) view.setUint32(at, tables + table * tableSectors, true)
      return table < shape.tables
    })
    yield* tableParts(shape.tables * tableEntries, 4, (view, at, grain) => {
      if (grain >= map.units || !map.has(grain)) return false
      view.setUint32(at, overhead + map.rank(grain) * grainSectors, true)
      return true
    })
  }

  return imageOfParts({
    format: 'vmdk',
    sizeBytes: sectors * sectorBytes,
    async *parts(call) {
      yield Buffer.concat([shape.header({ directory, redundantDirectory, overhead }), shape.descriptor])
      yield* copyAt(redundantDirectory)
      yield* copyAt(directory)
      yield (overhead - directory - copySectors) * sectorBytes
      yield* blockParts(storedDisk(disk), { map, blockBytes: grainBytes }, call)
    },
  })
}
