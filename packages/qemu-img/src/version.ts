import { InvalidError } from '@disk-image/core'
import { VolumeBackendError } from './errors.ts'

/**
 * The version in what `qemu-img --version` prints: `[7, 2, 22]`. Undefined where there is none.
 *
 * @throws {VolumeBackendError} where it is not numbers with dots between them
 * @see cinder.image.image_utils.get_qemu_img_version
 */
export function parseVersion(text: string): number[] | undefined {
  const version = /qemu-img version ([0-9.]*)/.exec(text)?.[1]
  if (version === undefined) return undefined
  const numbers = version.split('.').map((part) => (part === '' ? Number.NaN : Number(part)))
  if (!numbers.every(Number.isSafeInteger)) {
    throw new VolumeBackendError({ reason: `qemu-img calls its version '${version}'` })
  }
  return numbers
}

/**
 * Refuses a `qemu-img` that is older than demanded.
 *
 * @param current - what {@link parseVersion} found
 * @throws {VolumeBackendError} where it is older, or has no version
 * @throws {InvalidError} where the demand is not numbers with dots between them
 * @see cinder.image.image_utils.check_qemu_img_version
 */
export function checkQemuImgVersion(current: readonly number[] | undefined, minimum: string): void {
  if (typeof minimum !== 'string' || !/^\d+(?:\.\d+)*$/.test(minimum)) {
    throw new InvalidError({ reason: `A version must be numbers with dots between them, not '${minimum}'` })
  }
  if (current !== undefined && compareVersions(current, minimum.split('.').map(Number)) >= 0) return
  throw new VolumeBackendError({
    reason: `qemu-img ${minimum} or later is required by this volume driver. Current qemu-img version: ${current?.join('.') ?? 'None'}`,
  })
}

/** Part by part; of two that begin alike the longer one is the later one. */
function compareVersions(left: readonly number[], right: readonly number[]): number {
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}
