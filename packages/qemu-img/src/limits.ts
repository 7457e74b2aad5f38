import { GiB, InvalidError } from '@disk-image/core'

/** What one `qemu-img` may use. */
export interface QemuImgLimits {
  /** Seconds of CPU time. A conversion gets `convertCpuSecondsPerGiB` more for each GiB of the disk. @default 60 */
  readonly cpuLimitSeconds: number
  /**
   * Seconds of CPU time for each GiB that is converted. zlib takes about 30 on a machine of 2026.
   *
   * @default 120
   */
  readonly convertCpuSecondsPerGiB: number
  /**
   * Bytes of address space. With one allocation arena, which the runner sees to, a conversion with 16
   * requests at once was measured to need 0.5 GiB; 64 worker threads with stacks of 8 MiB, and tables of
   * the largest images, may need another GiB. One GiB, the usual setting elsewhere, ends conversions of
   * today's `qemu-img` with SIGABRT once there are enough processors.
   *
   * @default 2 GiB
   */
  readonly addressSpaceLimitBytes: number
  /** Wall-clock limit of each call. @default none */
  readonly timeoutMs: number | undefined
}

/** @throws {InvalidError} for a limit that isn't a positive number */
export function resolveLimits(given: {
  readonly [Name in keyof QemuImgLimits]?: number | undefined
}): QemuImgLimits {
  const limits: QemuImgLimits = {
    cpuLimitSeconds: given.cpuLimitSeconds ?? 60,
    convertCpuSecondsPerGiB: given.convertCpuSecondsPerGiB ?? 120,
    addressSpaceLimitBytes: given.addressSpaceLimitBytes ?? 2 * GiB,
    timeoutMs: given.timeoutMs,
  }
  for (const [name, value] of Object.entries(limits)) {
    if (value === undefined || (Number.isFinite(value) && value > 0)) continue
    throw new InvalidError({ reason: `${name} must be a number greater than 0, not ${String(value)}` })
  }
  return Object.freeze(limits)
}
