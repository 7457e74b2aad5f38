import type { Disk, RandomAccessReader } from '@disk-image/core'
import { createBlockDisk } from '../blocks/block-disk.ts'
import type { BlockMap } from '../blocks/block-map.ts'
import { openBlockStream } from '../blocks/block-stream.ts'
import { DiskFormatError, refuse, requireSound } from '../errors.ts'
import { Fields } from '../layouts/fields.ts'
import { ImageFile, type OpenDiskOptions } from '../image-file.ts'
import { planLayout, type StreamFormat } from '../stream/stream-decoder.ts'
import { openGrainStream } from './grain-stream.ts'
import { createVmdkBlocks, type VmdkGrains } from './vmdk-blocks.ts'
import { vmdkFooterBytes } from './vmdk-footer.ts'
import { createGrainReader } from './vmdk-grains.ts'
import { atEndMark, parseVmdkHeader, type VmdkHeader } from './vmdk-header.ts'
import {
  parseVmdk,
  parseVmdkEnd,
  parseVmdkPart,
  vmdkDirectoryEntries,
  vmdkHeadBytes,
  type VmdkLayout,
} from './vmdk-layout.ts'

const sector = 512
const magic = 'KDMV'
const mostDirectoryEntries = 2 ** 27
const zeroFlag = 4
const markerFlag = 0x20000
const otherKinds: Readonly<Record<string, string>> = {
  COWD: 'a sparse extent of ESX (COWD)',
  '# Di': 'a descriptor alone',
  '\xbe\xba\xfe\xca': 'a space-efficient extent of ESX (SESparse)',
}

/** The disk of a VMDK in one file: monolithicSparse or streamOptimized. */
export interface VmdkDisk extends Disk {
  readonly layout: VmdkLayout
}

/**
 * Opens a VMDK for reading anywhere. Grain tables are read and checked where they are needed.
 *
 * @throws {DiskFormatError} with the rule that the image breaks, here and on every read
 */
export async function openVmdk(reader: RandomAccessReader, options: OpenDiskOptions = {}): Promise<VmdkDisk> {
  options.signal?.throwIfAborted()
  const file = new ImageFile(reader, 'vmdk')
  const layout = await readLayout(file)
  const grains = await readGrains(file, layout)
  const blocks = createVmdkBlocks(file, grains)
  const readRanges = layout.isCompressed ? createGrainReader(file, layout) : undefined
  return { layout, ...createBlockDisk(file, blocks, options.signal, readRanges) }
}

/** A VMDK that comes as a stream. */
export const vmdkStream: StreamFormat<VmdkLayout> = {
  plan: (head, options) => {
    const layout = parseVmdk(head)
    if (layout.header.magic !== magic) return { supported: false, reason: 'This is no hosted sparse extent.' }
    if (!layout.isCompressed && layout.header.directory === atEndMark) {
      return { supported: false, reason: 'Its grain directory is at its end.' }
    }
    return planLayout(layout, options, 'clean')
  },
  open: async (layout, options) => {
    requireData(layout)
    // The layout is what the head says; only the end is still to come.
    const openBlocks = async (file: ImageFile): Promise<BlockMap> =>
      createVmdkBlocks(file, await readGrains(file, layout))
    return layout.isCompressed
      ? openGrainStream(layout, openBlocks, options)
      : openBlockStream(layout, openBlocks, options)
  },
}

/** Reads header and descriptor of a VMDK in one file. */
async function readLayout(file: ImageFile): Promise<VmdkLayout> {
  const start = await file.readBytes(0, sector, 'the header')
  const header = parseVmdkHeader(new Fields(start))
  requireMagic(header)
  const layout = parseVmdk(await file.readUpTo(0, vmdkHeadBytes(header)))
  requireSound(layout, 'clean')
  return layout
}

/**
 * Opens a sparse extent whose descriptor is another file.
 *
 * @throws {DiskFormatError}
 */
export async function openVmdkPart(
  file: ImageFile,
): Promise<{ readonly map: BlockMap; readonly sizeBytes: number }> {
  const layout = parseVmdkPart(await file.readBytes(0, sector, 'the header'))
  requireMagic(layout.header)
  requireSound(layout, 'clean')
  if (layout.isCompressed) {
    refuse('vmdk-header', 'a file of several is compressed', { offset: 8, accepted: 'a sparse extent' })
  }
  return { map: createVmdkBlocks(file, await readGrains(file, layout)), sizeBytes: layout.sizeBytes }
}

function requireMagic(header: VmdkHeader): void {
  if (header.magic === magic) return
  refuse('vmdk-kind', 'this is no hosted sparse extent', {
    found: otherKinds[header.magic] ?? 'another signature',
    offset: 0,
    accepted: 'KDMV: monolithicSparse or streamOptimized',
  })
}

/** Where the grains are, by the footer where the header sends there. */
async function readGrains(file: ImageFile, layout: VmdkLayout): Promise<VmdkGrains> {
  requireData(layout)
  return grainsOf(layout, await readEnd(file, layout))
}

async function readEnd(file: ImageFile, { header }: VmdkLayout): Promise<VmdkHeader> {
  if (!file.isWhole) return header
  const length = header.directory === atEndMark ? Math.min(file.sizeBytes, vmdkFooterBytes) : 0
  const tail = await file.readBytes(file.sizeBytes - length, length, 'the footer')
  const end = parseVmdkEnd(header, tail, file.sizeBytes)
  if (end.problems[0] !== undefined) throw new DiskFormatError(end.problems[0])
  return end.header ?? refuse('vmdk-footer', 'the footer is missing')
}

/** What the policy does not ask, and readers disagree about. */
function requireData({ header, isCompressed }: VmdkLayout): void {
  const { flags, compression } = header
  if (compression !== (isCompressed ? 1 : 0) || ((flags & markerFlag) === 0 && isCompressed)) {
    refuse('vmdk-header', "flags and compression don't fit together", {
      found: `flags ${flags}, compression ${compression}`,
      offset: 77,
      accepted: 'none; or deflate, with markers',
    })
  }
  const entries = vmdkDirectoryEntries(header) ?? 0
  if (entries > mostDirectoryEntries) {
    refuse('vmdk-tables', 'the grain directory is larger than any reader takes', {
      found: `${entries} entries`,
      offset: 12,
      accepted: 'at most 2^27',
    })
  }
}

/** @param tables the header that knows where the grain directory is */
function grainsOf(layout: VmdkLayout, tables: VmdkHeader): VmdkGrains {
  const { sizeBytes, grainBytes, isCompressed, metadataEnd } = layout
  return {
    sizeBytes,
    grainBytes,
    isCompressed,
    metadataEnd,
    marksZero: (tables.flags & zeroFlag) !== 0,
    tableEntries: tables.tableEntries,
    directoryOffset: Number(tables.directory) * sector,
    directoryEntries: vmdkDirectoryEntries(tables) ?? 0,
  }
}
