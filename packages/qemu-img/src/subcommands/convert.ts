import { dirname } from 'node:path'
import { GiB, InvalidError } from '@disk-image/core'
import type { CallOptions } from '@disk-image/core'
import { convertCommand } from '../command/convert.ts'
import type { ConvertRequest, LocatedConvertRequest } from '../command/convert.ts'
import { filesOf } from '../command/image-reference.ts'
import { parseProgress } from '../parse/progress.ts'
import { kindOf, locate, runQemuImg } from './context.ts'
import type { QemuImgCallOptions, QemuImgContext } from './context.ts'
import { info } from './info.ts'

/** Options of {@link QemuImg.convert}. */
export interface ConvertOptions extends ConvertRequest, QemuImgCallOptions, CallOptions {
  /** Bytes of the disk, for the CPU limit. @default asked of the image */
  readonly virtualSizeBytes?: number | undefined
}

export async function convert(context: QemuImgContext, options: ConvertOptions): Promise<void> {
  options.signal?.throwIfAborted()
  const request: LocatedConvertRequest = {
    ...options,
    source: await locate(options.source),
    destination: await locate(options.destination),
  }
  // Built before anything runs: a request that can't be is refused at once.
  const { onProgress } = options
  const command = convertCommand(request, onProgress !== undefined)
  await checkDestination(context, request.destination.path, options)
  const virtualSizeBytes = options.virtualSizeBytes ?? (await virtualSizeOf(context, options))
  const { cpuLimitSeconds, convertCpuSecondsPerGiB } = context.limits
  const report = (completed: number): void =>
    onProgress?.({ stage: 'convert', completed, total: 100, unit: 'percent' })
  await runQemuImg(context, command, options, {
    files: filesOfConversion(request),
    cpuSeconds: cpuLimitSeconds + Math.ceil((convertCpuSecondsPerGiB * virtualSizeBytes) / GiB),
    onLine: (line) => {
      const percent = parseProgress(line)
      if (percent !== undefined) report(percent)
    },
  })
}

function filesOfConversion({ source, destination }: LocatedConvertRequest): {
  readonly read: readonly string[]
  readonly write: readonly string[]
  readonly writeDirectories?: readonly string[]
} {
  const [path, ...passphraseFiles] = filesOf([destination])
  const files = { read: [...filesOf([source]), ...passphraseFiles], write: [path ?? destination.path] }
  // These subformats put the data into further files beside the one that is named.
  const severalFiles = destination.format === 'vmdk' && /flat|2gb|twoGb/i.test(destination.subformat ?? '')
  return severalFiles ? { ...files, writeDirectories: [dirname(destination.path)] } : files
}

async function virtualSizeOf(context: QemuImgContext, options: ConvertOptions): Promise<number> {
  const { source, signal, asRoot, timeoutMs } = options
  const { path, format, passphraseFile, forceShare } = source
  const found = await info(context, path, { format, passphraseFile, forceShare, signal, asRoot, timeoutMs })
  return found.virtualSize
}

/**
 * A missing node under `/dev` is no place for a file: the volume isn't attached. Anything but a file or a
 * block device would be filled, or waited for, to no end.
 */
async function checkDestination(
  context: QemuImgContext,
  path: string,
  { asRoot, signal }: QemuImgCallOptions,
): Promise<void> {
  const kind = await kindOf(path)
  if (kind === 'other') throw new InvalidError({ reason: `${path} is neither a file nor a block device` })
  if (!/^\/dev\/(?!shm\/)/.test(path)) return
  const missing = kind === 'missing' || (kind === 'hidden' && !(await isThere(context, path, asRoot, signal)))
  if (missing) throw new InvalidError({ reason: `${path} does not exist. No file is made under /dev.` })
}

async function isThere(
  context: QemuImgContext,
  path: string,
  asRoot: boolean | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await context.runner.run({ file: 'test', args: ['-b', path] }, { asRoot, signal, timeoutMs: 30_000 })
    return true
  } catch {
    signal?.throwIfAborted()
    return false
  }
}
