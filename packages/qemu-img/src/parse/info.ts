import type { ImageSnapshot, QemuImgInfo } from '@disk-image/core'
import { FieldReader } from './json-fields.ts'

const mostSnapshots = 65_536

/**
 * What `qemu-img info --output=json` printed. Every field is checked; keys that are not known are left out,
 * but for those inside the format's own data.
 *
 * @throws {QemuImgOutputError} where it isn't what `qemu-img` prints
 */
export function parseInfo(text: string): QemuImgInfo {
  const read = new FieldReader('info')
  const info = read.object(read.parse(text), 'it')
  const specific = info['format-specific']
  return {
    image: read.optionalText(info, 'filename'),
    fileFormat: read.optionalText(info, 'format'),
    virtualSize: read.size(info, 'virtual-size'),
    diskSize: read.optionalSize(info, 'actual-size'),
    backingFile: read.optionalText(info, 'backing-filename'),
    backingFileFormat: read.optionalText(info, 'backing-filename-format'),
    clusterSize: read.optionalSize(info, 'cluster-size'),
    encrypted: read.flag(info, 'encrypted'),
    snapshots: parseSnapshots(read, info['snapshots']),
    formatSpecific: specific === undefined || specific === null ? undefined : parseSpecific(read, specific),
  }
}

function parseSpecific(read: FieldReader, value: unknown): NonNullable<QemuImgInfo['formatSpecific']> {
  const specific = read.object(value, "'format-specific'")
  return { type: read.text(specific, 'type'), data: read.object(specific['data'] ?? {}, "'data'") }
}

function parseSnapshots(read: FieldReader, value: unknown): ImageSnapshot[] {
  if (value === undefined || value === null) return []
  return read.list(value, "'snapshots'", mostSnapshots).map((entry) => {
    const snapshot = read.object(entry, 'a snapshot')
    return {
      id: read.text(snapshot, 'id'),
      name: read.text(snapshot, 'name'),
      vmStateSize: read.optionalSize(snapshot, 'vm-state-size') ?? 0,
    }
  })
}
