import type { Command } from '@disk-image/core'
import { filesOf, imageArguments } from '../command/image-reference.ts'
import type { ImageReference, LocatedImage } from '../command/image-reference.ts'
import { checkSize } from '../command/option-list.ts'
import { locate, runQemuImg } from './context.ts'
import type { QemuImgCallOptions, QemuImgContext } from './context.ts'

/** Options of {@link QemuImg.resize}. */
export interface ResizeOptions extends QemuImgCallOptions, Omit<ImageReference, 'path'> {
  /** Also cut off what lies behind the new end. @default false: refused */
  readonly shrink?: boolean | undefined
}

/** The command line of `qemu-img resize`. */
export function resizeCommand(image: LocatedImage, sizeBytes: number, shrink = false): Command {
  checkSize(sizeBytes, 'sizeBytes')
  const { objects, asOptions, names } = imageArguments([image])
  const format = asOptions ? ['--image-opts'] : ['-f', image.format]
  const how = [...format, '-q', ...(shrink ? ['--shrink'] : [])]
  return { file: 'qemu-img', args: ['resize', ...objects, ...how, ...names, String(sizeBytes)] }
}

export async function resize(
  context: QemuImgContext,
  path: string,
  sizeBytes: number,
  options: ResizeOptions,
): Promise<void> {
  const image = await locate({ ...options, path })
  const command = resizeCommand(image, sizeBytes, options.shrink)
  const [, ...others] = filesOf([image])
  await runQemuImg(context, command, options, {
    files: { read: others, write: [image.path] },
    // Snapshots inside may hold more than the disk.
    fileSizeBytes: Infinity,
  })
}
