import { ProcessExecutionError } from '@disk-image/core'
import type { ProcessRunner, QemuImgInfo } from '@disk-image/core'
import { resolveLimits } from './limits.ts'
import type { QemuImgLimits } from './limits.ts'
import { checkQemuImgVersion, parseVersion } from './parse/version.ts'
import type { QemuImgContext } from './subcommands/context.ts'
import { convert } from './subcommands/convert.ts'
import type { ConvertOptions } from './subcommands/convert.ts'
import { info } from './subcommands/info.ts'
import type { InfoOptions } from './subcommands/info.ts'

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
  convert(options: ConvertOptions): Promise<void>
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
    info: (path: string, infoOptions: InfoOptions) => info(context, path, infoOptions),
    convert: (convertOptions: ConvertOptions) => convert(context, convertOptions),
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
