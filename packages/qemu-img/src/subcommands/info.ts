import { InvalidError } from '@disk-image/core'
import type { Command, QemuImgInfo } from '@disk-image/core'
import { filesOf, imageArguments } from '../command/image-reference.ts'
import type { ImageReference, LocatedImage } from '../command/image-reference.ts'
import { parseInfo } from '../parse/info.ts'
import { locate, runQemuImg } from './context.ts'
import type { QemuImgCallOptions, QemuImgContext } from './context.ts'

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
