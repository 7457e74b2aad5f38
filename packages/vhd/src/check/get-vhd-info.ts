import { MiB } from '@disk-image/core'
import {
  disagreements,
  type DiskGeometry,
  diskOf,
  epochSeconds,
  findFooter,
  type FooterOrigin,
  geometryBytes,
  readVhdLayout,
  unallocated,
  VhdError,
  type VhdLayout,
  type VhdType,
} from '@disk-image/disk/vhd'
import { type DecodedLocator, readLocators } from '../chain/parents.ts'
import { type OpenSource, openSource, type VhdSource } from '../files/vhd-file.ts'

/** What a VHD says of itself. Only data: it can be printed as JSON. */
export interface VhdInfo {
  readonly path: string | undefined
  readonly type: VhdType
  /** Bytes of the disk. */
  readonly currentSizeBytes: number
  /** Bytes that it was made with; XenServer leaves them when it resizes. */
  readonly originalSizeBytes: number
  readonly geometry: DiskGeometry
  /** What the geometry comes to, which some programs take for the size. */
  readonly geometryBytes: number
  /** Bytes of the file. */
  readonly fileSizeBytes: number
  readonly uniqueId: string
  readonly createdAt: Date
  /** `tap`, `win`, `vpc`, `qemu` …, without blanks and NULs. */
  readonly creator: string
  /** `1.3`. */
  readonly creatorVersion: string
  readonly hidden: boolean
  readonly savedState: boolean
  /** Which footer was read: a whole file's is at the end. */
  readonly footer: FooterOrigin
  /** Of dynamic and differencing disks. */
  readonly blocks: VhdBlocksInfo | undefined
  /** Of differencing disks. */
  readonly parent: VhdParentInfo | undefined
}

/** A disk's blocks. */
export interface VhdBlocksInfo {
  readonly blockSizeBytes: number
  /** Blocks that the disk has, and those of them that are in the file. */
  readonly total: number
  readonly allocated: number
  readonly tableOffset: number
  readonly tableEntries: number
  /** Whether there is an intact table of full blocks, as XenServer keeps one. */
  readonly batmap: boolean
}

/** What a disk says about its parent. Nothing of it was looked up. */
export interface VhdParentInfo {
  /** All zeros for a raw parent. */
  readonly uniqueId: string
  readonly modifiedAt: Date
  readonly name: string
  readonly locators: readonly DecodedLocator[]
}

/**
 * What a VHD says of itself.
 *
 * @throws {VhdError} where it can't be read for certain
 */
export async function getVhdInfo(vhd: VhdSource): Promise<VhdInfo> {
  const source = await openSource(vhd)
  try {
    return await describe(source, await readVhdLayout(source))
  } finally {
    await source.close()
  }
}

/**
 * A disk's size in whole MiB, rounded down, by its current size; its geometry is not asked.
 *
 * @throws {VhdError} where there is no footer, or not one that is certain
 * @see cinder.image.image_utils.get_vhd_size
 */
export async function getVhdSize(vhd: VhdSource): Promise<number> {
  const source = await openSource(vhd)
  try {
    const found = await findFooter(source)
    if ('rule' in found) throw new VhdError({ ...found, path: source.path })
    const fatal = found.problems.find(({ rule }) => disagreements.has(rule))
    if (fatal !== undefined) throw new VhdError({ ...fatal, path: source.path })
    return Math.floor(found.footer.currentSizeBytes / MiB)
  } finally {
    await source.close()
  }
}

/** The same of a file that was judged already. */
export async function describe(source: OpenSource, layout: VhdLayout): Promise<VhdInfo> {
  const { footer, origin } = layout.found
  const dynamic = layout.dynamic
  const isChild = footer.type === 'differencing' && dynamic !== undefined
  const locators = isChild ? await readLocators(diskOf(source, layout)) : []
  return {
    path: source.path,
    type: footer.type,
    currentSizeBytes: footer.currentSizeBytes,
    originalSizeBytes: footer.originalSizeBytes,
    geometry: footer.geometry,
    geometryBytes: geometryBytes(footer.geometry),
    fileSizeBytes: source.size,
    uniqueId: footer.uniqueId,
    createdAt: toDate(footer.timestamp),
    creator: footer.creatorApplication.replaceAll(/[^ -~]/g, '').trim(),
    creatorVersion: `${footer.creatorVersion >>> 16}.${footer.creatorVersion & 0xff_ff}`,
    hidden: footer.hidden,
    savedState: footer.savedState,
    footer: origin,
    blocks: dynamic && {
      blockSizeBytes: dynamic.header.blockSizeBytes,
      total: dynamic.blockCount,
      allocated: dynamic.table.reduce((count, entry) => (entry === unallocated ? count : count + 1), 0),
      tableOffset: dynamic.header.tableOffset,
      tableEntries: dynamic.header.maximumEntries,
      batmap: dynamic.batmap?.intact === true,
    },
    parent: isChild
      ? {
          uniqueId: dynamic.header.parentUniqueId,
          modifiedAt: toDate(dynamic.header.parentTimestamp),
          name: dynamic.header.parentName,
          locators,
        }
      : undefined,
  }
}

function toDate(timestamp: number): Date {
  return new Date((timestamp + epochSeconds) * 1000)
}
