import { type Command, ProcessExecutionError } from '@disk-image/core'
import { locate, type QemuImgCallOptions, type QemuImgContext, runQemuImg } from './context.ts'
import { filesOf, imageArguments, type ImageReference, type LocatedImage } from './image-reference.ts'
import { FieldReader } from './json-fields.ts'

/** Options of {@link QemuImg.check}. */
export interface CheckOptions extends QemuImgCallOptions, Omit<ImageReference, 'path'> {
  /** Mend what is found: lost clusters only, or everything. @default nothing */
  readonly repair?: 'leaks' | 'all' | undefined
  readonly forceShare?: boolean | undefined
}

/** What a check found. */
export interface CheckReport {
  /** Errors of the tables: the image must not be used. */
  readonly corruptions: number
  /** Clusters that nothing uses: space lost, no data. */
  readonly leaks: number
  readonly corruptionsFixed: number
  readonly leaksFixed: number
  /** Errors of the check itself. */
  readonly checkErrors: number
  /** Byte offset of the image's end in its file. */
  readonly imageEndOffset: number | undefined
  readonly totalClusters: number | undefined
  readonly allocatedClusters: number | undefined
  readonly compressedClusters: number | undefined
}

/** The command line of `qemu-img check`. */
export function checkCommand(
  image: LocatedImage,
  options: Pick<CheckOptions, 'forceShare' | 'repair'> = {},
): Command {
  const { objects, asOptions, names } = imageArguments([image])
  const format = asOptions ? ['--image-opts'] : ['-f', image.format]
  const repair = options.repair === undefined ? [] : ['-r', options.repair]
  const share = options.forceShare === true ? ['-U'] : []
  return {
    file: 'qemu-img',
    args: ['check', ...objects, ...format, '--output=json', ...repair, ...share, ...names],
  }
}

/** Exit codes: corruptions, and leaks alone. Both come with a report. */
const found = new Set([2, 3])

export async function check(
  context: QemuImgContext,
  path: string,
  options: CheckOptions,
): Promise<CheckReport> {
  const image = await locate({ ...options, path })
  const [file, ...others] = filesOf([image])
  const files =
    options.repair === undefined ? { read: filesOf([image]) } : { read: others, write: [file ?? image.path] }
  try {
    const { stdout } = await runQemuImg(context, checkCommand(image, options), options, {
      files,
      fileSizeBytes: options.repair === undefined ? undefined : Infinity,
    })
    return parseCheck(stdout)
  } catch (error) {
    const report =
      error instanceof ProcessExecutionError && error.endReason === 'exit' && found.has(error.exitCode ?? 0)
    if (!report) throw error
    return parseCheck(error.stdout)
  }
}

/** @throws {QemuImgOutputError} where it isn't what `qemu-img check --output=json` prints */
export function parseCheck(text: string): CheckReport {
  const read = new FieldReader('check')
  const report = read.object(read.parse(text), 'it')
  return {
    corruptions: read.optionalSize(report, 'corruptions') ?? 0,
    leaks: read.optionalSize(report, 'leaks') ?? 0,
    corruptionsFixed: read.optionalSize(report, 'corruptions-fixed') ?? 0,
    leaksFixed: read.optionalSize(report, 'leaks-fixed') ?? 0,
    checkErrors: read.size(report, 'check-errors'),
    imageEndOffset: read.optionalSize(report, 'image-end-offset'),
    totalClusters: read.optionalSize(report, 'total-clusters'),
    allocatedClusters: read.optionalSize(report, 'allocated-clusters'),
    compressedClusters: read.optionalSize(report, 'compressed-clusters'),
  }
}
