import type { RandomAccessReader } from '@disk-image/core'
import { refuse } from '../disk-format-error.ts'
import { ImageFile } from '../image-file.ts'

const headerBytes = 64
const extensionHeaderBytes = 24
const mostClusterSectors = 0x7fffffff / 513
const mostEntries = 0x7fffffff / 4
const extensionMagic = 0xab234cef23dcea87n

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
  /** The cluster with dirty bitmaps and the like, where there is one. */
  readonly extensionOffset: number | undefined
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
  const extension = Number(view.getBigUint64(56, true)) * 512
  if (extension !== 0) await checkExtension(file, extension, clusterBytes)
  return Object.freeze({
    format: 'parallels',
    magic,
    sizeBytes: Number(sectors) * 512,
    clusterBytes,
    entries,
    tableOffset: headerBytes,
    placeUnitBytes: extended ? clusterBytes : 512,
    extensionOffset: extension === 0 ? undefined : extension,
  })
}

/** What it has is about backups, and no part of the disk. Readers give up on one that is damaged. */
async function checkExtension(file: ImageFile, offset: number, length: number): Promise<void> {
  // A cluster can have a GiB, so it is read in parts.
  const { createHash } = process.getBuiltinModule('node:crypto')
  const hash = createHash('md5')
  const head = await file.read(offset, extensionHeaderBytes, 'the format extension')
  const bytes = new Uint8Array(Math.min(length, 1024 ** 2))
  for (let at = extensionHeaderBytes; at < length; at += bytes.length) {
    const part = bytes.subarray(0, Math.min(bytes.length, length - at))
    file.requireInside(offset + at, part.length, 'the format extension')
    await file.fill(offset + at, part)
    hash.update(part)
  }
  const sum = Buffer.from(head.buffer, head.byteOffset + 8, 16)
  if (head.getBigUint64(0, true) === extensionMagic && hash.digest().equals(sum)) return
  refuse('parallels-extension', 'the format extension is not where the header says, or damaged', {
    offset,
    accepted: 'a cluster with the magic of an extension and its MD5',
  })
}
