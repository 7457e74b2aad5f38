import type { RandomAccessReader } from '@disk-image/core'
import { refuse } from '../disk-format-error.ts'
import { ImageFile } from '../image-file.ts'

const signature = 0xbeda107f
const version11 = 0x00010001
const blockBytes = 1024 ** 2
const mostBlocks = 0x3fffffff
const kinds: Readonly<Record<number, 'dynamic' | 'fixed'>> = { 1: 'dynamic', 2: 'fixed' }

/** What one parse of a VDI's header yields. Offsets and sizes in bytes. */
export interface VdiLayout {
  readonly format: 'vdi'
  readonly kind: 'dynamic' | 'fixed'
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly blocks: number
  readonly mapOffset: number
  readonly dataOffset: number
}

/**
 * Reads the header of a VDI.
 *
 * @throws {DiskFormatError} where it is another version, an undo or differencing disk, or a bound is broken
 * @see https://forums.virtualbox.org/viewtopic.php?t=8046 (tutorial: all about VDIs)
 */
export async function readVdiLayout(reader: RandomAccessReader): Promise<VdiLayout> {
  const file = new ImageFile(reader, 'vdi')
  const view = await file.read(0, 512, 'the header')
  const number = (at: number): number => view.getUint32(at, true)
  const demand = (holds: boolean, offset: number, reason: string, accepted: string): void => {
    if (!holds) refuse('vdi-header', reason, { found: `${number(offset)}`, offset, accepted })
  }
  demand(number(0x40) === signature, 0x40, 'this is no VDI', 'the signature be da 10 7f')
  demand(number(0x44) === version11, 0x44, 'the version is not known', '1.1')
  requireNoParent(view)
  const kind = kinds[number(0x4c)]
  demand(number(0x168) === 512, 0x168, 'the sector size is not 512', '512')
  demand(number(0x178) === blockBytes, 0x178, 'the block size is not 1 MiB', `${blockBytes}`)
  demand(number(0x17c) === 0, 0x17c, 'the blocks have something before their data', '0 bytes')
  const mapOffset = number(0x154)
  const dataOffset = number(0x158)
  demand(
    mapOffset >= 512 && mapOffset % 512 === 0,
    0x154,
    'the block map is not where it can be',
    'whole sectors',
  )
  demand(dataOffset % 512 === 0, 0x158, 'the data is not where it can be', 'whole sectors')
  const blocks = number(0x180)
  const size = view.getBigUint64(0x170, true)
  if (kind === undefined || blocks > mostBlocks || BigInt(blocks) * BigInt(blockBytes) < size) {
    return refuse('vdi-size', "kind, block map and size of the disk don't fit together", {
      found: `kind ${number(0x4c)}, ${blocks} blocks for ${size} bytes`,
      offset: 0x170,
      accepted: `1 or 2; at most ${mostBlocks} blocks, and enough for the size`,
    })
  }
  if (mapOffset + blocks * 4 > file.sizeBytes) {
    refuse('vdi-truncated', 'the file ends within the block map', {
      found: `${file.sizeBytes} bytes`,
      offset: 0x154,
      accepted: `at least ${mapOffset + blocks * 4}`,
    })
  }
  return Object.freeze({
    format: 'vdi',
    kind,
    sizeBytes: Number(size),
    blockBytes,
    blocks,
    mapOffset,
    dataOffset,
  })
}

function requireNoParent(view: DataView): void {
  const kind = view.getUint32(0x4c, true)
  let linked = kind === 3 || kind === 4
  for (let at = 0x1a8; at < 0x1c8; at += 1) linked ||= view.getUint8(at) !== 0
  if (!linked) return
  refuse('vdi-parent', 'the image is an undo or differencing disk, whose parent holds a part of the disk', {
    found: `kind ${kind}`,
    offset: 0x4c,
    accepted: 'a dynamic or fixed disk without a parent',
  })
}
