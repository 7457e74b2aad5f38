import { type Command, type ImageSnapshot, InvalidError, type QemuImgInfo } from '@disk-image/core'
import { locate, type QemuImgCallOptions, type QemuImgContext, runQemuImg } from './context.ts'
import { filesOf, imageArguments, type ImageReference, type LocatedImage } from './image-reference.ts'
import { FieldReader } from './json-fields.ts'

/** Options of {@link QemuImg.info}. */
export interface InfoOptions extends QemuImgCallOptions, Omit<ImageReference, 'path'> {
  /** Read although another process has it open. @default false */
  readonly forceShare?: boolean | undefined
  /** False refuses an image that names a backing file. @default true: it is reported, never opened */
  readonly allowBackingFile?: boolean | undefined
}

/** The command line of `qemu-img info`. */
export function infoCommand(image: LocatedImage, forceShare = false): Command {
  const { objects, asOptions, names } = imageArguments([image])
  const format = asOptions ? ['--image-opts'] : ['-f', image.format]
  const share = forceShare ? ['--force-share'] : []
  return { file: 'qemu-img', args: ['info', ...objects, ...format, '--output=json', ...share, ...names] }
}

export async function info(
  context: QemuImgContext,
  path: string,
  options: InfoOptions,
): Promise<QemuImgInfo> {
  const { forceShare } = options
  const image = await locate({ ...options, path })
  const command = infoCommand(image, forceShare)
  const { stdout } = await runQemuImg(context, command, options, { files: { read: filesOf([image]) } })
  const found = parseInfo(stdout)
  if (options.allowBackingFile === false && found.backingFile !== undefined) {
    throw new InvalidError({ reason: `${path} has a backing file, which is not allowed here` })
  }
  return found
}

const mostSnapshots = 65_536

/**
 * What `qemu-img info --output=json` printed. Every field is checked; keys that are not known are left out,
 * but for those inside the format's own data.
 *
 * @throws {QemuImgOutputError} where it isn't what `qemu-img` prints
 */
export function parseInfo(text: string): QemuImgInfo {
  const read = new FieldReader('info')
  const info = read.object(read.parse(text), 'it')
  const specific = info['format-specific']
  return {
    image: read.optionalText(info, 'filename'),
    fileFormat: read.optionalText(info, 'format'),
    virtualSize: read.size(info, 'virtual-size'),
    diskSize: read.optionalSize(info, 'actual-size'),
    backingFile: read.optionalText(info, 'backing-filename'),
    backingFileFormat: read.optionalText(info, 'backing-filename-format'),
    clusterSize: read.optionalSize(info, 'cluster-size'),
    encrypted: read.flag(info, 'encrypted'),
    snapshots: parseSnapshots(read, info['snapshots']),
    formatSpecific: specific === undefined || specific === null ? undefined : parseSpecific(read, specific),
  }
}

function parseSpecific(read: FieldReader, value: unknown): NonNullable<QemuImgInfo['formatSpecific']> {
  const specific = read.object(value, "'format-specific'")
  return { type: read.text(specific, 'type'), data: read.object(specific['data'] ?? {}, "'data'") }
}

function parseSnapshots(read: FieldReader, value: unknown): ImageSnapshot[] {
  if (value === undefined || value === null) return []
  return read.list(value, "'snapshots'", mostSnapshots).map((entry) => {
    const snapshot = read.object(entry, 'a snapshot')
    return {
      id: read.text(snapshot, 'id'),
      name: read.text(snapshot, 'name'),
      vmStateSize: read.optionalSize(snapshot, 'vm-state-size') ?? 0,
    }
  })
}
