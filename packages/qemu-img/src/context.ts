import {
  type Command,
  GiB,
  InvalidError,
  MiB,
  ProcessExecutionError,
  type ProcessFileAccess,
  type ProcessResult,
  type ProcessRunner,
  type RunOptions,
} from '@disk-image/core'
import { stat } from 'node:fs/promises'
import type { ImageReference, LocatedImage } from './image-reference.ts'

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

import path from 'node:path'

/** What every call takes. */
export interface QemuImgCallOptions {
  readonly signal?: AbortSignal | undefined
  /** Through the runner's root helper. @default false */
  readonly asRoot?: boolean | undefined
  /** Put before the command, for example `['ionice', '-c3']`. */
  readonly throttlePrefix?: readonly string[] | undefined
  /** Wall-clock limit. @default the instance's */
  readonly timeoutMs?: number | undefined
}

/** What the subcommands share. */
export interface QemuImgContext {
  readonly runner: ProcessRunner
  readonly limits: QemuImgLimits
}

/** How one call differs from the plain case. */
export interface RunExtras {
  readonly files: ProcessFileAccess
  /** @default the instance's */
  readonly cpuSeconds?: number | undefined
  /** Bytes of the largest file that it writes; Infinity where nothing tells. @default 1 MiB, for calls that only read */
  readonly fileSizeBytes?: number | undefined
  readonly onLine?: RunOptions['onLine']
  readonly maxOutputBytes?: number | undefined
}

/** Runs one command with the instance's limits. */
export async function runQemuImg(
  context: QemuImgContext,
  command: Command,
  call: QemuImgCallOptions,
  extras: RunExtras,
): Promise<ProcessResult> {
  const { cpuLimitSeconds, addressSpaceLimitBytes, timeoutMs } = context.limits
  const { fileSizeBytes = MiB } = extras
  return context.runner.run(command, {
    signal: call.signal,
    asRoot: call.asRoot,
    prefix: call.throttlePrefix,
    timeoutMs: call.timeoutMs ?? timeoutMs,
    limits: {
      cpuSeconds: extras.cpuSeconds ?? cpuLimitSeconds,
      addressSpaceBytes: addressSpaceLimitBytes,
      ...(Number.isFinite(fileSizeBytes) ? { fileSizeBytes } : {}),
    },
    files: extras.files,
    onLine: extras.onLine,
    maxOutputBytes: extras.maxOutputBytes,
  })
}

/** Tries of a call that makes an encrypted image: on some machines every second one fails. */
const encryptionTries = 20

/**
 * The same for a call that makes an image. Where the image is encrypted, `qemu-img` first measures how fast
 * this machine derives keys, and gives up when the kernel's clock for that did not move meanwhile. That says
 * nothing about the image, comes before any of it is written, and is gone at the next try.
 */
export async function runCreation(
  context: QemuImgContext,
  command: Command,
  call: QemuImgCallOptions,
  extras: RunExtras,
): Promise<ProcessResult> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await runQemuImg(context, command, call, extras)
    } catch (error) {
      const again =
        error instanceof ProcessExecutionError && error.stderr.includes('Unable to get accurate CPU usage')
      if (!again || tries >= encryptionTries) throw error
    }
  }
}

/** CPU seconds for work on every byte of a disk. */
export function conversionCpuSeconds({ limits }: QemuImgContext, virtualSizeBytes: number): number {
  return limits.cpuLimitSeconds + Math.ceil((limits.convertCpuSecondsPerGiB * virtualSizeBytes) / GiB)
}

/**
 * Bytes that the file of a disk may have in any format: the disk, its tables at the smallest cluster, and a header. A
 * tool that writes more doesn't write that disk.
 */
export function largestFileBytes(virtualSizeBytes: number): number {
  return Math.min(Math.ceil(virtualSizeBytes * 1.1) + 256 * MiB, Number.MAX_SAFE_INTEGER)
}

/** What a path is: made absolute, and looked at. */
export async function locate<Image extends ImageReference>(image: Image): Promise<Image & LocatedImage> {
  if (typeof image.path !== 'string' || image.path === '') {
    throw new InvalidError({ reason: 'An image needs a path' })
  }
  const absolute = path.resolve(image.path)
  const passphraseFile =
    image.passphraseFile === undefined ? {} : { passphraseFile: path.resolve(image.passphraseFile) }
  return {
    ...image,
    ...passphraseFile,
    path: absolute,
    blockDevice: (await kindOf(absolute)) === 'block-device',
  }
}

/** What is at a path. Where this user may not look, its name has to tell. */
export async function kindOf(
  name: string,
): Promise<'block-device' | 'file' | 'missing' | 'other' | 'hidden'> {
  try {
    const found = await stat(name)
    if (found.isBlockDevice()) return 'block-device'
    return found.isFile() ? 'file' : 'other'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing'
    return 'hidden'
  }
}

/** The percentage in a line that `qemu-img -p` prints: `    (12.34/100%)`. */
export function parseProgress(line: string): number | undefined {
  const percent = /\(\s*(\d{1,3}(?:\.\d+)?)\/100%\)/.exec(line)?.[1]
  return percent === undefined ? undefined : Math.min(100, Number(percent))
}
