import type { RandomAccessReader } from '@disk-image/core'
import { refuse } from '../disk-format-error.ts'
import { ImageFile } from '../image-file.ts'

const headerBytes = 64
const mostClusterSectors = 0x7fffffff / 513
const mostEntries = 0x7fffffff / 4

/** What one parse of a Parallels header yields. Offsets and sizes in bytes. */
export interface ParallelsLayout {
  readonly format: 'parallels'
  /** The plain magic counts places in sectors, the extended one in clusters. */
  readonly magic: 'WithoutFreeSpace' | 'WithouFreSpacExt'
  readonly sizeBytes: number
  readonly clusterBytes: number
  readonly entries: number
  readonly tableOffset: number
  /** What an entry of the table is multiplied with. */
  readonly placeUnitBytes: number
}

/**
 * Reads the header of a Parallels expanding disk.
 *
 * @throws {DiskFormatError} where it is another version, or a bound is broken
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/parallels.rst
 */
export async function readParallelsLayout(reader: RandomAccessReader): Promise<ParallelsLayout> {
  const file = new ImageFile(reader, 'parallels')
  const view = await file.read(0, headerBytes, 'the header')
  const magic = Buffer.from(view.buffer, view.byteOffset, 16).toString('latin1')
  const version = view.getUint32(16, true)
  const clusterSectors = view.getUint32(28, true)
  const entries = view.getUint32(32, true)
  if ((magic !== 'WithoutFreeSpace' && magic !== 'WithouFreSpacExt') || version !== 2) {
    return refuse('parallels-header', 'this is no Parallels disk of a known version', {
      found: `version ${version}`,
      offset: 0,
      accepted: 'WithoutFreeSpace or WithouFreSpacExt, version 2',
    })
  }
  const extended = magic === 'WithouFreSpacExt'
  // What follows the 32-bit size of the plain magic is not a part of the number.
  const sectors = extended ? view.getBigUint64(36, true) : BigInt(view.getUint32(36, true))
  const fits =
    clusterSectors > 0 &&
    clusterSectors <= mostClusterSectors &&
    entries <= mostEntries &&
    sectors > 0n &&
    sectors <= BigInt(Number.MAX_SAFE_INTEGER) / 512n &&
    BigInt(entries) * BigInt(clusterSectors) >= sectors
  if (!fits) {
    refuse('parallels-size', "table, clusters and size of the disk don't fit together", {
      found: `${entries} entries of ${clusterSectors} sectors for ${sectors}`,
      offset: 28,
      accepted: 'enough entries for the size',
    })
  }
  if (headerBytes + entries * 4 > file.sizeBytes) {
    refuse('parallels-truncated', 'the file ends within the allocation table', {
      found: `${file.sizeBytes} bytes`,
      offset: 32,
      accepted: `at least ${headerBytes + entries * 4}`,
    })
  }
  const clusterBytes = clusterSectors * 512
  return Object.freeze({
    format: 'parallels',
    magic,
    sizeBytes: Number(sectors) * 512,
    clusterBytes,
    entries,
    tableOffset: headerBytes,
    placeUnitBytes: extended ? clusterBytes : 512,
  })
}
