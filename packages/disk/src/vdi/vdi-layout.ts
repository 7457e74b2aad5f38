import type { Layout } from '@disk-image/core'
import { Fields } from '../layouts/fields.ts'
import { hex } from '../layouts/printable.ts'
import { Problems } from '../layouts/problems.ts'

const version11 = 0x00010001
const blockBytes = 1024 ** 2
const mostBlocks = 0x3fffffff
const kinds: Readonly<Record<number, string>> = { 1: 'dynamic', 2: 'fixed', 3: 'undo', 4: 'differencing' }

/** At byte 0x40, little-endian. */
export const vdiSignature = 0xbeda107f
/** Bytes of a header. */
export const vdiHeaderBytes = 512
/** Entries of the map that are no block: discarded, which reads as zero; and free. */
export const vdiDiscarded = 0xfffffffe
export const vdiFree = 0xffffffff

/** What one parse of a VDI's header yields. Offsets and sizes in bytes. */
export interface VdiLayout extends Layout {
  readonly format: 'vdi'
  /** The major number. */
  readonly version: number
  /** `dynamic`, `fixed`, `undo` or `differencing`; undefined for any other. */
  readonly kind: string | undefined
  /** As the header has it, where {@link Layout.sizeBytes} is inexact. */
  readonly exactSizeBytes: bigint
  readonly blockBytes: number
  /** Before the data of each block. */
  readonly blockExtraBytes: number
  readonly blocks: number
  readonly mapOffset: number
  readonly dataOffset: number
}

/**
 * Parses the header of a VDI, version 1.1: the first {@link vdiHeaderBytes}. The signature is not looked at.
 *
 * @see https://forums.virtualbox.org/viewtopic.php?t=8046 (tutorial: all about VDIs)
 */
export function parseVdi(head: Uint8Array): VdiLayout {
  const fields = new Fields(head)
  const version = fields.u32le(0x44)
  const size = fields.u64le(0x170)
  const layout = {
    format: 'vdi',
    version: version >>> 16,
    kind: kinds[fields.u32le(0x4c)],
    sizeBytes: Number(size),
    exactSizeBytes: size,
    blockBytes: fields.u32le(0x178),
    blockExtraBytes: fields.u32le(0x17c),
    blocks: fields.u32le(0x180),
    mapOffset: fields.u32le(0x154),
    dataOffset: fields.u32le(0x158),
  } as const
  const problems = new Problems('vdi')
  if (version === version11) {
    checkHeader(fields, layout, problems)
    checkParent(fields, problems)
  } else {
    problems.add('version', {
      reason: 'The VDI version is not known',
      offset: 0x44,
      found: `${version >>> 16}.${version & 0xffff}`,
      accepted: '1.1',
    })
  }
  return Object.freeze({ ...layout, problems: problems.list })
}

function checkHeader(
  fields: Fields,
  { kind, exactSizeBytes: size, mapOffset, dataOffset, ...layout }: Omit<VdiLayout, 'problems'>,
  problems: Problems,
): void {
  const wrong = (reason: string, offset: number, found: string, accepted: string): void =>
    problems.add('header', { reason, offset, found, accepted })
  if (kind === undefined) {
    wrong('The image type is not known', 0x4c, `${fields.u32le(0x4c)}`, '1 (dynamic) or 2 (fixed)')
  }
  if (fields.length < 512)
    wrong('The file ends within its header', 0, `${fields.length} bytes`, 'at least 512')
  const sector = fields.u32le(0x168)
  if (sector !== 512) wrong('The sector size is not 512', 0x168, `${sector}`, '512')
  if (layout.blockBytes !== blockBytes) {
    wrong('The block size is not 1 MiB', 0x178, `${layout.blockBytes}`, `${blockBytes}`)
  }
  if (mapOffset % 512 !== 0 || mapOffset < 512) {
    wrong('The block map is not where it can be', 0x154, hex(mapOffset), 'a multiple of 512')
  }
  if (dataOffset % 512 !== 0) {
    wrong('The data is not where it can be', 0x158, hex(dataOffset), 'a multiple of 512')
  }
  const { blocks } = layout
  if (blocks > mostBlocks || BigInt(blocks) * BigInt(layout.blockBytes) < size) {
    problems.add('tables', {
      reason: 'The block map does not match the virtual size',
      offset: 0x180,
      found: `${blocks} blocks for ${size} bytes`,
      accepted: `at most ${mostBlocks}, and enough for the size`,
      reference: 'CVE-2015-5162',
    })
  }
  const mostBytes = BigInt(mostBlocks) * BigInt(blockBytes)
  if (size > mostBytes) {
    problems.add('virtual-size', {
      reason: 'The virtual size is not one that a VDI can have',
      offset: 0x170,
      found: `${size} bytes`,
      accepted: `at most ${mostBytes}`,
      reference: 'CVE-2013-2096',
    })
  }
}

function checkParent(fields: Fields, problems: Problems): void {
  const type = fields.u32le(0x4c)
  const linked = !fields.isZero(0x1a8, 32)
  if (!linked && type !== 3 && type !== 4) return
  problems.add('backing-file', {
    reason: 'The image is a differencing disk, whose parent holds a part of the data',
    offset: linked ? 0x1a8 : 0x4c,
    found: linked ? 'the identity of a parent' : `image type ${type}`,
    accepted: 'a dynamic or fixed disk without a parent',
  })
}
