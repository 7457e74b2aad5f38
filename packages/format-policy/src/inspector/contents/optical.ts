import type { Fields } from '@disk-image/disk/layouts'
import type { Report } from '../report.ts'
import { atEnd, type Steps } from '../engine/steps.ts'

const firstDescriptor = 32768
const optical = ['CD001', 'BEA01', 'NSR02', 'NSR03', 'CDW02']

/** ISO 9660 or UDF, by the first volume descriptor. */
export function startsAsOptical(head: Fields): boolean {
  return optical.some((name) => head.has(firstDescriptor + 1, name))
}

/** `udf` where the volume has UDF; a bridge disc has both. */
export function opticalContent(head: Fields): string | undefined {
  for (let at = firstDescriptor; at < firstDescriptor + 16 * 2048; at += 2048) {
    if (head.has(at + 1, 'NSR02') || head.has(at + 1, 'NSR03')) return 'udf'
  }
  return undefined
}

/** An optical disc is raw data; its size is the file's. */
export function* examineOptical(_head: Fields, report: Report): Steps<void> {
  const end = yield* atEnd()
  report.virtualSize = BigInt(end.sizeBytes)
}
