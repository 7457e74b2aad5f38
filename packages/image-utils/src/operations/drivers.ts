import { toQemuFormat } from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'

/** Formats that have a driver of their own in qemu-img. */
const drivers: ReadonlySet<string> = new Set([
  'qcow2',
  'qcow',
  'qed',
  'vmdk',
  'vhd',
  'vhdx',
  'vdi',
  'parallels',
  'bochs',
  'cloop',
  'dmg',
])

/** Whether qemu-img has a driver that could take the bytes for its own, whatever else they are. */
export function hasDriver(inspection: Pick<InspectionResult, 'matches'>): boolean {
  return inspection.matches.some((match) => drivers.has(match))
}

/** The format as which a file is opened: its own where qemu-img has a driver for it, otherwise raw. */
export function driverOf(inspection: Pick<InspectionResult, 'format'>): string {
  return drivers.has(inspection.format) ? inspection.format : 'raw'
}

/** Whether qemu-img is kept from reading a disk of this format, under any of its names: our own readers do. */
export function isReadByUs(format: string): boolean {
  return ['vpc', 'vhdx', 'vmdk', 'vdi', 'parallels'].includes(toQemuFormat(format))
}
