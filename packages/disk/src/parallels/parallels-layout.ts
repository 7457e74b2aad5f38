import type { Layout } from '@disk-image/core'
import { Fields } from '../layouts/fields.ts'
import { Problems } from '../layouts/problems.ts'

const inUse = 0x746f6e59
const extensionMagic = 0xab234cef23dcea87n
const plainMagic = 'WithoutFreeSpace'
const extendedMagic = 'WithouFreSpacExt'

/** Bytes of a header. */
export const parallelsHeaderBytes = 64

/** What one parse of a Parallels header yields. Offsets and sizes in bytes. */
export interface ParallelsLayout extends Layout {
  readonly format: 'parallels'
  readonly version: number
  /** The plain magic counts places in sectors, the extended one in clusters. */
  readonly magic: 'WithoutFreeSpace' | 'WithouFreSpacExt'
  /** As the header has it, where {@link Layout.sizeBytes} is inexact. */
  readonly exactSizeBytes: bigint
  readonly clusterBytes: number
  readonly entries: number
  readonly tableOffset: number
  /** What an entry of the table is multiplied with. */
  readonly placeUnitBytes: number
  /** The cluster with dirty bitmaps and the like, as the header has it; 0 where there is none. */
  readonly extensionSector: bigint
}

/** Whether a Parallels disk starts here. */
export function startsAsParallels(head: Uint8Array): boolean {
  const fields = new Fields(head)
  return fields.has(0, plainMagic) || fields.has(0, extendedMagic)
}

/**
 * Parses the header of a Parallels (ploop) expanding disk, version 2: the first {@link parallelsHeaderBytes}.
 *
 * @see https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/parallels.rst
 */
export function parseParallels(head: Uint8Array): ParallelsLayout {
  const fields = new Fields(head)
  const problems = new Problems('parallels')
  const extended = fields.has(0, extendedMagic)
  const version = fields.u32le(16)
  const tracks = fields.u32le(28)
  const entries = fields.u32le(32)
  // The plain magic has a 32-bit size; what follows it is then not a part of the number.
  const sectors = extended ? fields.u64le(36) : BigInt(fields.u32le(36))
  const wrong = (check: string, reason: string, offset: number, found: string, accepted: string): void =>
    problems.add(check, { reason, offset, found, accepted })
  if (version !== 2) wrong('version', 'The Parallels version is not known', 16, `${version}`, '2')
  if (tracks === 0 || tracks > 0x7fffffff / 513) {
    wrong('header', 'The cluster size is outside the format', 28, `${tracks} sectors`, 'at least 1')
  }
  if (sectors > 1n << 54n) {
    const reason = 'The virtual size is not one that a disk can have'
    wrong('virtual-size', reason, 36, `${sectors} sectors`, 'less')
  }
  if (entries > 0x7fffffff / 4 || BigInt(entries) * BigInt(tracks) < sectors) {
    problems.add('tables', {
      reason: 'The allocation table does not match the virtual size',
      offset: 32,
      found: `${entries} entries of ${tracks} sectors`,
      accepted: `enough for ${sectors} sectors`,
      reference: 'CVE-2015-5162',
    })
  }
  if (fields.u32le(44) === inUse) {
    const reason = 'The image is marked as open: its program did not close it'
    wrong('clean', reason, 44, 'in use', 'a closed image')
  }
  return Object.freeze({
    format: 'parallels',
    version,
    magic: extended ? extendedMagic : plainMagic,
    sizeBytes: Number(sectors) * 512,
    exactSizeBytes: sectors * 512n,
    clusterBytes: tracks * 512,
    entries,
    tableOffset: parallelsHeaderBytes,
    placeUnitBytes: extended ? tracks * 512 : 512,
    extensionSector: fields.u64le(56),
    problems: problems.list,
  })
}

/** Whether the format extension begins here: a cluster of its own, behind the data. */
export function startsAsParallelsExtension(bytes: Uint8Array): boolean {
  return new Fields(bytes).u64le(0) === extensionMagic
}
