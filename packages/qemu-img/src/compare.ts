import { type CallOptions, type Command, ProcessExecutionError } from '@disk-image/core'
import {
  conversionCpuSeconds,
  locate,
  parseProgress,
  type QemuImgCallOptions,
  type QemuImgContext,
  runQemuImg,
} from './context.ts'
import { filesOf, imageArguments, type ImageReference, type LocatedImage } from './image-reference.ts'
import { info } from './info.ts'

/** Options of {@link QemuImg.compare}. */
export interface CompareOptions extends QemuImgCallOptions, CallOptions {
  /** Other sizes and other holes count as a difference too. @default false: content, a longer rest of zeros */
  readonly strict?: boolean | undefined
  readonly forceShare?: boolean | undefined
}

/** Whether two images hold the same disk. */
export type Comparison =
  | { readonly identical: true }
  | {
      readonly identical: false
      /** `qemu-img`'s sentence. */
      readonly reason: string
      /** Byte offset into the disk of the first difference, where it is one of content. */
      readonly offset: number | undefined
    }

/** The command line of `qemu-img compare`. */
export function compareCommand(
  left: LocatedImage,
  right: LocatedImage,
  options: Pick<CompareOptions, 'forceShare' | 'strict'> = {},
  progress = false,
): Command {
  const { objects, asOptions, names } = imageArguments([left, right])
  return {
    file: 'qemu-img',
    args: [
      'compare',
      ...(progress ? ['-p'] : []),
      ...objects,
      ...(asOptions ? ['--image-opts'] : ['-f', left.format, '-F', right.format]),
      ...(options.strict === true ? ['-s'] : []),
      ...(options.forceShare === true ? ['-U'] : []),
      ...names,
    ],
  }
}

export async function compare(
  context: QemuImgContext,
  leftImage: ImageReference,
  rightImage: ImageReference,
  options: CompareOptions,
): Promise<Comparison> {
  const [left, right] = [await locate(leftImage), await locate(rightImage)]
  const command = compareCommand(left, right, options, options.onProgress !== undefined)
  const { virtualSize } = await info(context, left.path, { ...options, ...leftImage })
  try {
    await runQemuImg(context, command, options, {
      files: { read: filesOf([left, right]) },
      cpuSeconds: conversionCpuSeconds(context, virtualSize),
      onLine: (line) => {
        const percent = parseProgress(line)
        if (percent !== undefined) {
          options.onProgress?.({ stage: 'verify', completed: percent, total: 100, unit: 'percent' })
        }
      },
    })
    return { identical: true }
  } catch (error) {
    // Exit code 1 alone could come from whatever is wrapped around it: the sentence has to be there too.
    if (!(error instanceof ProcessExecutionError) || error.endReason !== 'exit' || error.exitCode !== 1)
      throw error
    const difference = parseDifference(`${error.stdout}\n${error.stderr}`)
    if (difference === undefined) throw error
    return { identical: false, ...difference }
  }
}

/** The sentence and the offset in what `qemu-img compare` prints of two images that differ. */
export function parseDifference(
  text: string,
): { readonly reason: string; readonly offset: number | undefined } | undefined {
  const lines = text.split(/[\r\n]/).map((line) => line.trim())
  const reason = lines.find((line) => /mismatch|differ/i.test(line) && !line.startsWith('Warning'))
  if (reason === undefined) return undefined
  const offset = /at offset (\d{1,16})\b/.exec(reason)?.[1]
  return { reason, offset: offset === undefined ? undefined : Number(offset) }
}
