import { type CallOptions, type Command, InvalidError } from '@disk-image/core'
import {
  conversionCpuSeconds,
  largestFileBytes,
  locate,
  parseProgress,
  type QemuImgCallOptions,
  type QemuImgContext,
  runCreation,
} from './context.ts'
import { creationOptions, type CreationOptions, checkDestination } from './creation-options.ts'
import {
  type ByteRange,
  checkFormat,
  checkPath,
  destinationSecret,
  filesOf,
  imageArguments,
  imageOptions,
  type ImageReference,
  type LocatedImage,
  secretObject,
} from './image-reference.ts'
import { info } from './info.ts'

/** `qemu-img`'s ways with the page cache. */
export type CacheMode = 'none' | 'writeback' | 'writethrough' | 'directsync' | 'unsafe'

/** What is converted. */
export interface ConvertSource extends ImageReference {
  /** An internal snapshot's name: its state, instead of the current one. */
  readonly snapshot?: string | undefined
  /** Read although another process has it open. @default false */
  readonly forceShare?: boolean | undefined
}

/** How an image is converted. */
export interface ConvertRequest {
  readonly source: ConvertSource
  readonly destination: CreationOptions
  /** Leave out what is zero. Otherwise everything is written. @default true */
  readonly sparse?: boolean | undefined
  /** The destination exists: don't make it. @default false */
  readonly noCreate?: boolean | undefined
  /** With `noCreate`: only these bytes of a raw destination are written. @default from its start */
  readonly destinationRange?: ByteRange | undefined
  /** With `noCreate`: it reads as zeros already. Never say so of what may hold old data. @default false */
  readonly targetIsZero?: boolean | undefined
  /** The destination takes O_DIRECT: around the page cache, several requests at once. @default false */
  readonly directIo?: boolean | undefined
  /** @default 'none' with `directIo`, otherwise 'writeback', which is on the disk when the call is done */
  readonly cacheMode?: CacheMode | undefined
  readonly sourceCacheMode?: CacheMode | undefined
  /** Write as it comes. @default with `directIo`, where the destination has no tables to be scattered */
  readonly outOfOrder?: boolean | undefined
  readonly rateLimitBytesPerSecond?: number | undefined
  /** Requests at once, 1 to 16. @default qemu-img's own: 8 */
  readonly parallelism?: number | undefined
}

/** The same, with what the paths are. */
export interface LocatedConvertRequest extends ConvertRequest {
  readonly source: ConvertSource & LocatedImage
  readonly destination: CreationOptions & LocatedImage
}

/**
 * The command line of a conversion. Formats are always named, paths absolute, passphrases files.
 *
 * @throws {InvalidError} where the request does not fit together
 * @see cinder.image.image_utils._get_qemu_convert_cmd, _get_qemu_convert_luks_cmd
 */
export function convertCommand(request: LocatedConvertRequest, progress = false): Command {
  const { source, destination } = request
  checkPath(destination.path, 'destination')
  checkFormat(destination.format, 'destination')
  const read = imageArguments([source])
  const write = destinationArguments(request)
  return {
    file: 'qemu-img',
    args: [
      'convert',
      ...(progress ? ['-p'] : []),
      ...read.objects,
      ...write.objects,
      ...(read.asOptions ? ['--image-opts'] : ['-f', source.format]),
      ...(source.forceShare === true ? ['-U'] : []),
      ...(source.snapshot === undefined ? [] : ['-l', snapshotParameter(source.snapshot)]),
      ...write.format,
      ...flags(request),
      ...read.names,
      write.name,
    ],
  }
}

/** A name that begins like `snapshot.id=` would be read as options. */
function snapshotParameter(name: string): string {
  return `snapshot.name=${name.replaceAll(',', ',,')}`
}

function flags(request: ConvertRequest): string[] {
  const { destination, directIo = false, rateLimitBytesPerSecond, parallelism } = request
  const compressed = (destination.compression ?? 'none') !== 'none'
  const outOfOrder =
    request.outOfOrder ?? (directIo && !compressed && ['raw', 'luks'].includes(destination.format))
  if (request.targetIsZero === true && request.noCreate !== true) {
    throw new InvalidError({ reason: 'targetIsZero is about a destination that exists: it needs noCreate' })
  }
  checkRange('rateLimitBytesPerSecond', rateLimitBytesPerSecond, 1, Number.MAX_SAFE_INTEGER)
  checkRange('parallelism', parallelism, 1, 16)
  return [
    '-t',
    request.cacheMode ?? (directIo ? 'none' : 'writeback'),
    ...(request.sourceCacheMode === undefined ? [] : ['-T', request.sourceCacheMode]),
    ...(outOfOrder ? ['-W'] : []),
    ...(parallelism === undefined ? [] : ['-m', String(parallelism)]),
    ...(rateLimitBytesPerSecond === undefined ? [] : ['-r', String(rateLimitBytesPerSecond)]),
    ...(request.sparse === false ? ['-S', '0'] : []),
    ...(compressed ? ['-c'] : []),
    ...(request.noCreate === true ? ['-n'] : []),
    ...(request.targetIsZero === true ? ['--target-is-zero'] : []),
  ]
}

function checkRange(name: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return
  throw new InvalidError({ reason: `${name} must be a whole number from ${least} to ${most}, not ${value}` })
}

function destinationArguments(request: LocatedConvertRequest): {
  readonly objects: readonly string[]
  readonly format: readonly string[]
  readonly name: string
} {
  const { noCreate = false, destinationRange: range } = request
  const destination = { ...request.destination, range }
  const { format, path, passphraseFile } = destination
  if (format === 'luks' && passphraseFile === undefined) {
    throw new InvalidError({ reason: 'A luks destination needs a passphrase file' })
  }
  if (range !== undefined && (!noCreate || format !== 'raw')) {
    throw new InvalidError({
      reason: 'destinationRange is a part of a raw disk that exists: it needs noCreate',
    })
  }
  const objects = passphraseFile === undefined ? [] : secretObject(destinationSecret, passphraseFile)
  if (noCreate && (passphraseFile !== undefined || range !== undefined)) {
    const name = imageOptions(destination, destinationSecret)
    return { objects, format: ['--target-image-opts'], name }
  }
  const options = noCreate ? '' : creationOptions(destination)
  return { objects, format: ['-O', format, ...(options === '' ? [] : ['-o', options])], name: path }
}

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
