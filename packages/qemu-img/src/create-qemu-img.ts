import {
  ProcessExecutionError,
  type ImageSnapshot,
  type ProcessRunner,
  type QemuImgInfo,
  InvalidError,
} from '@disk-image/core'
import type { ImageReference } from './image-reference.ts'
import { resolveLimits, type QemuImgLimits, type QemuImgContext } from './context.ts'
import { check, type CheckOptions, type CheckReport } from './check.ts'
import { compare, type CompareOptions, type Comparison } from './compare.ts'
import { convert, type ConvertOptions } from './convert.ts'
import { create, type CreateOptions, resize, type ResizeOptions } from './create.ts'
import { info, type InfoOptions } from './info.ts'
import { map, type MapExtent, type MapOptions } from './map.ts'
import { measure, type Measurement, type MeasureOptions, type MeasureSource } from './measure.ts'
import { changeSnapshot, snapshots, type SnapshotOptions } from './snapshot.ts'
import { VolumeBackendError } from './errors.ts'

/** What {@link createQemuImg} needs. */
export interface QemuImgDependencies {
  readonly runner: ProcessRunner
}

/** `qemu-img`'s limits; see {@link QemuImgLimits} for the defaults. */
export type QemuImgOptions = { readonly [Name in keyof QemuImgLimits]?: QemuImgLimits[Name] | undefined }

/**
 * `qemu-img`, typed. Every call names the format and absolute paths, declares the files it touches to the
 * runner, and runs within limits. Rejects with `ProcessExecutionError` where `qemu-img` fails, and with the
 * signal's reason after an abort.
 */
export interface QemuImg {
  /** `[7, 2, 22]`; undefined where it prints none. Asked once. */
  version(signal?: AbortSignal): Promise<readonly number[] | undefined>
  /** @throws {VolumeBackendError} where it is older than `minimum`, `'7.2'` for example */
  requireVersion(minimum: string, signal?: AbortSignal): Promise<void>
  info(path: string, options: InfoOptions): Promise<QemuImgInfo>
  /**
   * @throws {InvalidError} for a request that doesn't fit together, a missing node under `/dev`, and a
   *   destination that is neither file nor block device
   */
  convert(options: ConvertOptions): Promise<void>
  resize(path: string, sizeBytes: number, options: ResizeOptions): Promise<void>
  create(path: string, sizeBytes: number, options: CreateOptions): Promise<void>
  /** Corruptions and leaks are a report, not an error. */
  check(path: string, options: CheckOptions): Promise<CheckReport>
  compare(left: ImageReference, right: ImageReference, options?: CompareOptions): Promise<Comparison>
  map(path: string, options: MapOptions): Promise<readonly MapExtent[]>
  measure(source: MeasureSource, options: MeasureOptions): Promise<Measurement>
  snapshots(path: string, options: SnapshotOptions): Promise<readonly ImageSnapshot[]>
  createSnapshot(path: string, name: string, options: SnapshotOptions): Promise<void>
  applySnapshot(path: string, name: string, options: SnapshotOptions): Promise<void>
  deleteSnapshot(path: string, name: string, options: SnapshotOptions): Promise<void>
}

/** @throws {InvalidError} for a limit that can't be */
export function createQemuImg(dependencies: QemuImgDependencies, options: QemuImgOptions = {}): QemuImg {
  const context: QemuImgContext = { runner: dependencies.runner, limits: resolveLimits(options) }
  let known: { readonly version: readonly number[] | undefined } | undefined
  const version = async (signal?: AbortSignal): Promise<readonly number[] | undefined> => {
    known ??= { version: await askVersion(context, signal) }
    return known.version
  }
  return Object.freeze({
    version,
    async requireVersion(minimum: string, signal?: AbortSignal): Promise<void> {
      checkQemuImgVersion(await version(signal), minimum)
    },
    info: (path: string, call: InfoOptions) => info(context, path, call),
    convert: (call: ConvertOptions) => convert(context, call),
    resize: (path: string, sizeBytes: number, call: ResizeOptions) => resize(context, path, sizeBytes, call),
    create: (path: string, sizeBytes: number, call: CreateOptions) => create(context, path, sizeBytes, call),
    check: (path: string, call: CheckOptions) => check(context, path, call),
    compare: (left: ImageReference, right: ImageReference, call: CompareOptions = {}) =>
      compare(context, left, right, call),
    map: (path: string, call: MapOptions) => map(context, path, call),
    measure: (source: MeasureSource, call: MeasureOptions) => measure(context, source, call),
    snapshots: (path: string, call: SnapshotOptions) => snapshots(context, path, call),
    createSnapshot: (path: string, name: string, call: SnapshotOptions) =>
      changeSnapshot(context, path, 'create', name, call),
    applySnapshot: (path: string, name: string, call: SnapshotOptions) =>
      changeSnapshot(context, path, 'apply', name, call),
    deleteSnapshot: (path: string, name: string, call: SnapshotOptions) =>
      changeSnapshot(context, path, 'delete', name, call),
  })
}

async function askVersion(
  context: QemuImgContext,
  signal: AbortSignal | undefined,
): Promise<number[] | undefined> {
  const command = { file: 'qemu-img', args: ['--version'] }
  try {
    const { stdout } = await context.runner.run(command, { signal, files: {}, timeoutMs: 60_000 })
    return parseVersion(stdout)
  } catch (error) {
    // Very old ones end with 1 after printing it.
    if (error instanceof ProcessExecutionError && error.endReason === 'exit')
      return parseVersion(error.stdout)
    throw error
  }
}

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
