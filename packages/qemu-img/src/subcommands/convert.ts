import type { CallOptions } from '@disk-image/core'
import { convertCommand } from '../command/convert.ts'
import type { ConvertRequest, LocatedConvertRequest } from '../command/convert.ts'
import { filesOf } from '../command/image-reference.ts'
import { parseProgress } from '../parse/progress.ts'
import { conversionCpuSeconds, largestFileBytes, locate, runCreation } from './context.ts'
import type { QemuImgCallOptions, QemuImgContext } from './context.ts'
import { checkDestination } from './destination.ts'
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
  const report = (completed: number): void =>
    onProgress?.({ stage: 'convert', completed, total: 100, unit: 'percent' })
  const [, ...others] = filesOf([request.destination])
  await runCreation(context, command, options, {
    files: {
      read: [...filesOf([request.source]), ...others],
      write: [request.destination.path],
    },
    cpuSeconds: conversionCpuSeconds(context, virtualSizeBytes),
    fileSizeBytes: largestFileBytes(virtualSizeBytes),
    onLine: (line) => {
      const percent = parseProgress(line)
      if (percent !== undefined) report(percent)
    },
  })
}

async function virtualSizeOf(context: QemuImgContext, options: ConvertOptions): Promise<number> {
  const { source, signal, asRoot, timeoutMs } = options
  return (await info(context, source.path, { ...source, signal, asRoot, timeoutMs })).virtualSize
}
