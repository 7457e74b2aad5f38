import { toQemuFormat, type Verdict } from '@disk-image/core'
import { accepted, enforce } from './enforce.ts'
import type { InspectionResult } from '../inspector/index.ts'
import { formatMismatch } from './image-format.ts'

/**
 * What an image may really be for each claim. A raw disk may hold anything that lies on disks: a file system
 * for optical media, an encrypted container. The claim by qemu-img's name, what it is by the inspector's.
 */
const realFormats: ReadonlyMap<string, readonly string[]> = new Map([
  ['raw', ['raw', 'iso', 'luks']],
  ['vpc', ['vhd']],
])

const looksRaw: ReadonlySet<string> = new Set(['raw', 'iso', 'luks'])

/** Claims that say nothing about the bytes. */
function isUnspecific(claimed: string | null | undefined): claimed is null | undefined {
  return claimed === undefined || claimed === null || claimed.toLowerCase() === 'ami'
}

/**
 * Whether the image is what its record says.
 *
 * @param claimed the record's `disk_format`, or qemu-img's name; undefined claims nothing, and `ami` nothing
 *   about the bytes either
 */
export function judgeClaimedFormat(
  claimed: string | null | undefined,
  inspection: Pick<InspectionResult, 'format' | 'checks' | 'complete'>,
): Verdict {
  const notADisk = inspection.checks.find((check) => check.name === 'disk-image' && !check.ok)
  if (notADisk?.reason !== undefined) {
    const { name: _name, ok: _ok, ...finding } = notADisk
    return { ok: false, rule: 'disk-image', ...finding, reason: notADisk.reason }
  }
  if (isUnspecific(claimed)) return accepted
  const qemuName = toQemuFormat(claimed)
  const real = realFormats.get(qemuName) ?? [qemuName]
  // A fixed VHD shows only at its end: until then it looks like the raw disk that it holds.
  if (!inspection.complete && real.includes('vhd') && looksRaw.has(inspection.format)) return accepted
  return real.includes(inspection.format) ? accepted : formatMismatch(claimed, inspection.format)
}

/** @throws {ImageUnacceptableError} where {@link judgeClaimedFormat} refuses */
export function checkClaimedFormat(
  imageId: string | null | undefined,
  claimed: string | null | undefined,
  inspection: Pick<InspectionResult, 'format' | 'checks' | 'complete'>,
): void {
  enforce(imageId, judgeClaimedFormat(claimed, inspection))
}

/**
 * Whether the bytes are only carried and never opened as the format that they are in: a container that was
 * claimed to be raw. Then what is wrong inside of it is its owner's matter.
 */
export function isCarriedAsRaw(
  claimed: string | null | undefined,
  inspection: Pick<InspectionResult, 'format'>,
): boolean {
  return (
    toQemuFormat(claimed ?? '') === 'raw' && (inspection.format === 'luks' || inspection.format === 'iso')
  )
}
