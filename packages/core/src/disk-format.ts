import { InvalidError } from './errors.ts'

/** What a format's name can be used for: `read` a disk of it, or `write` one too. */
export type FormatUse = 'read' | 'write'

/** What a raw disk may hold, by the inspector's names. Such a disk is raw, whatever it is called. */
const rawContents = [
  'gpt mbr fat exfat ntfs refs bitlocker ext2 ext3 ext4 xfs btrfs bcachefs bcache jfs f2fs gfs2 ocfs2 nilfs2',
  'reiserfs reiser4 hfsplus apfs minix squashfs erofs cramfs romfs udf swap lvm mdraid linux-kernel',
].flatMap((line) => line.split(' '))

/** A name of a format in which a disk can be written: qemu-img's, the inspector's or Glance's. */
export type WritableDiskFormat =
  | ('raw' | 'iso' | 'ami' | 'aki' | 'ari')
  | ('qcow2' | 'vhd' | 'vpc' | 'vhdx' | 'vmdk' | 'vdi' | 'luks' | 'ploop' | 'parallels' | 'qcow' | 'qed')

/** A name of a format that can be read. */
export type DiskFormat = WritableDiskFormat | 'bochs' | 'cloop' | 'dmg'

interface Format {
  /** qemu-img's name. */
  readonly qemu: string
  /** Every name: the inspector's and Glance's, the one to print first. */
  readonly names: readonly DiskFormat[]
  readonly use: FormatUse
}

const rawFormat: Format = { qemu: 'raw', names: ['raw', 'iso', 'ami', 'aki', 'ari'], use: 'write' }

/** The one table of formats: whatever takes or compares a name asks here. */
const formats: readonly Format[] = [
  rawFormat,
  { qemu: 'qcow2', names: ['qcow2'], use: 'write' },
  { qemu: 'vpc', names: ['vhd', 'vpc'], use: 'write' },
  { qemu: 'vhdx', names: ['vhdx'], use: 'write' },
  { qemu: 'vmdk', names: ['vmdk'], use: 'write' },
  { qemu: 'vdi', names: ['vdi'], use: 'write' },
  { qemu: 'luks', names: ['luks'], use: 'write' },
  { qemu: 'parallels', names: ['ploop', 'parallels'], use: 'write' },
  { qemu: 'qcow', names: ['qcow'], use: 'write' },
  { qemu: 'qed', names: ['qed'], use: 'write' },
  { qemu: 'bochs', names: ['bochs'], use: 'read' },
  { qemu: 'cloop', names: ['cloop'], use: 'read' },
  { qemu: 'dmg', names: ['dmg'], use: 'read' },
]

const byName: ReadonlyMap<string, Format> = new Map<string, Format>([
  ...formats.flatMap((format) => format.names.map((name): [string, Format] => [name, format])),
  ...rawContents.map((name): [string, Format] => [name, rawFormat]),
])

/** Every name of a format that can be read, or written; formats that can be written can be read. */
export function formatNames(use: 'read'): readonly DiskFormat[]
export function formatNames(use: 'write'): readonly WritableDiskFormat[]
export function formatNames(use: FormatUse): readonly DiskFormat[] {
  return formats.filter((format) => use === 'read' || format.use === 'write').flatMap(({ names }) => names)
}

/**
 * A format's name from outside of the program, by which a disk is read or written. What a raw disk may hold (`gpt`,
 * `ext4` …) is raw.
 *
 * @throws {InvalidError} with the names that are known
 */
export function parseDiskFormat(name: string, use: 'read'): DiskFormat
export function parseDiskFormat(name: string, use: 'write'): WritableDiskFormat
export function parseDiskFormat(name: string, use: FormatUse): DiskFormat {
  if (rawContents.includes(name)) return 'raw'
  const names = use === 'read' ? formatNames('read') : formatNames('write')
  const known = names.find((one) => one === name)
  if (known !== undefined) return known
  throw new InvalidError({
    reason: `${JSON.stringify(name.slice(0, 60))} is no format to ${use}; it must be one of: ${names.join(', ')}.`,
  })
}

/**
 * Any name of a format as qemu-img's: `vhd` is `vpc`, `ploop` is `parallels`, and `iso`, `ami`, `gpt` and
 * everything else that is raw bytes is `raw`. A name that is not known is returned as it came.
 */
export function toQemuFormat(name: string): string {
  return byName.get(name)?.qemu ?? name
}

/**
 * Any name of a format as Glance's `disk_format`: `vpc` is `vhd`, `parallels` is `ploop`, `gpt` is `raw`. `iso`
 * and `ami` are names of Glance and stay.
 */
export function toGlanceFormat(name: string): string {
  if (rawContents.includes(name)) return 'raw'
  return toQemuFormat(name) === 'raw' ? name : (byName.get(name)?.names[0] ?? name)
}

/** Whether two names are names of one format. */
export function isSameFormat(one: string, other: string): boolean {
  return toQemuFormat(one) === toQemuFormat(other)
}

/**
 * Glance's names for disk formats where they differ from qemu-img's, as Cinder has them.
 *
 * @see cinder.image.image_utils.QEMU_IMG_FORMAT_MAP
 */
const cinderNames: ReadonlyMap<string, string> = new Map([
  ['iso', 'raw'],
  ['vhd', 'vpc'],
  ['ploop', 'parallels'],
])

const glanceNames: ReadonlyMap<string, string> = new Map(
  [...cinderNames].map(([glance, qemu]) => [qemu, glance]),
)

/**
 * Glance's `disk_format` as qemu-img names it, for the three names that Cinder knows. Every other name is
 * returned as it came; {@link toQemuFormat} knows them all.
 *
 * @see cinder.image.image_utils.fixup_disk_format
 */
export function fixupDiskFormat(diskFormat: string): string {
  return cinderNames.get(diskFormat) ?? diskFormat
}

/**
 * The exact inverse of {@link fixupDiskFormat}: `vpc` is `vhd`, `parallels` is `ploop`, and `raw` is `iso`, as
 * in the original. Where a plain disk is meant, don't ask: `raw` is Glance's name for it too.
 *
 * @see cinder.image.image_utils.from_qemu_img_disk_format
 */
export function fromQemuFormat(format: string): string {
  return glanceNames.get(format) ?? format
}

/** Which formats an image service takes, by the fields of an image's record. */
export interface ImageFormats {
  readonly disk_format: readonly string[]
  readonly container_format: readonly string[]
}

/**
 * What Glance takes unless its operator says otherwise.
 *
 * @see https://docs.openstack.org/api-ref/image/v2/#create-image
 */
export const glanceFormats: ImageFormats = Object.freeze({
  disk_format: Object.freeze('ami ari aki vhd vhdx vmdk raw qcow2 vdi iso ploop'.split(' ')),
  container_format: Object.freeze('ami ari aki bare ovf ova docker compressed'.split(' ')),
})

/** @throws {InvalidError} with the field, its value and what is taken; a field that is absent or null is fine */
export function checkImageFormats(
  metadata: { readonly disk_format?: unknown; readonly container_format?: unknown },
  taken: ImageFormats = glanceFormats,
): void {
  for (const field of ['disk_format', 'container_format'] as const) {
    const value = metadata[field]
    if (value === undefined || value === null) continue
    if (typeof value === 'string' && taken[field].includes(value)) continue
    throw new InvalidError({
      reason: `${field} is ${JSON.stringify(value)?.slice(0, 60) ?? typeof value}; it must be one of: ${taken[field].join(', ')}.`,
    })
  }
}
