import { formatBytes, GiB, InvalidError, type Verdict } from '@disk-image/core'
import { accepted, enforce } from './enforce.ts'

const bytesPerGiB = 1024n ** 3n
const decimal = /^\s*[+-]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?\s*$/i

/** A size in bytes: a number, exact where it is a bigint, or its decimal text. */
export type SizeInBytes = number | bigint | string

/** Bytes as GiB, rounded up, exact for every size. */
export function toWholeGiB(size: SizeInBytes): bigint {
  const bytes = wholeBytes(size)
  const rest = bytes % bytesPerGiB
  return bytes / bytesPerGiB + (rest > 0n ? 1n : 0n)
}

/**
 * Whether an image's disk fits into a volume.
 *
 * @param virtualSize bytes
 * @param volumeSizeGiB the volume's size; with a fraction, the bytes are compared
 * @throws {InvalidError} where one of them is no size at all
 */
export function judgeVirtualSize(virtualSize: SizeInBytes, volumeSizeGiB: number): Verdict {
  const gibibytes = toWholeGiB(virtualSize)
  if (typeof volumeSizeGiB !== 'number' || Number.isNaN(volumeSizeGiB)) {
    throw new InvalidError({
      reason: `A volume's size must be a number of GiB, not ${String(volumeSizeGiB)}`,
    })
  }
  // A bigint compares exactly with a number.
  if (gibibytes <= volumeSizeGiB) return accepted
  if (!Number.isInteger(volumeSizeGiB)) return judgeBytes(wholeBytes(virtualSize), volumeSizeGiB * GiB)
  return {
    ok: false,
    rule: 'virtual-size',
    reason: `Image virtual size is ${gibibytes}GB and doesn't fit in a volume of size ${volumeSizeGiB}GB.`,
    found: `${gibibytes} GiB`,
    accepted: `at most ${volumeSizeGiB} GiB`,
    reference: 'CVE-2013-2096',
  }
}

/** Of a volume that is no whole number of GiB. */
function judgeBytes(virtualBytes: bigint, volumeBytes: number): Verdict {
  if (virtualBytes <= volumeBytes) return accepted
  const [image, volume] = [formatBytes(Number(virtualBytes)), formatBytes(volumeBytes)]
  return {
    ok: false,
    rule: 'virtual-size',
    reason: `Image virtual size is ${image} and doesn't fit in a volume of size ${volume}.`,
    found: `${virtualBytes} bytes`,
    accepted: `at most ${Math.floor(volumeBytes)} bytes`,
    reference: 'CVE-2013-2096',
  }
}

/**
 * @returns the image's size in GiB, rounded up
 * @throws {ImageUnacceptableError} where the image does not fit
 * @throws {InvalidError} where one of the sizes is no size at all
 * @see cinder.image.image_utils.check_virtual_size
 */
export function checkVirtualSize(
  virtualSize: SizeInBytes,
  volumeSizeGiB: number,
  imageId: string | null | undefined,
): number {
  enforce(imageId, judgeVirtualSize(virtualSize, volumeSizeGiB))
  return Number(toWholeGiB(virtualSize))
}

function wholeBytes(size: unknown): bigint {
  if (typeof size === 'bigint') return size
  if (typeof size === 'boolean') return size ? 1n : 0n
  if (typeof size === 'string' && /^\s*[+-]?\d+\s*$/.test(size)) return BigInt(size.trim().replace(/^\+/, ''))
  const number = typeof size === 'string' && decimal.test(size) ? Number(size.replaceAll('_', '')) : size
  if (typeof number !== 'number' || !Number.isFinite(number)) {
    throw new InvalidError({
      reason: `A virtual size must be a number of bytes, not ${JSON.stringify(size) ?? 'undefined'}`,
    })
  }
  return BigInt(Math.ceil(number))
}
