import { ProcessExecutionError } from '@disk-image/core'
import type { ImageSnapshot, ProcessRunner, QemuImgInfo } from '@disk-image/core'
import type { ImageReference } from './image-reference.ts'
import { resolveLimits } from './context.ts'
import type { QemuImgLimits } from './context.ts'
import { checkQemuImgVersion, parseVersion } from './version.ts'
import { check } from './check.ts'
import type { CheckOptions, CheckReport } from './check.ts'
import { compare } from './compare.ts'
import type { CompareOptions, Comparison } from './compare.ts'
import type { QemuImgContext } from './context.ts'
import { convert } from './convert.ts'
import type { ConvertOptions } from './convert.ts'
import { create } from './create.ts'
import type { CreateOptions } from './create.ts'
import { info } from './info.ts'
import type { InfoOptions } from './info.ts'
import { map } from './map.ts'
import type { MapExtent, MapOptions } from './map.ts'
import { measure } from './measure.ts'
import type { Measurement, MeasureOptions, MeasureSource } from './measure.ts'
import { resize } from './create.ts'
import type { ResizeOptions } from './create.ts'
import { changeSnapshot, snapshots } from './snapshot.ts'
import type { SnapshotOptions } from './snapshot.ts'

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
