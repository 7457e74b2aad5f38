import type { Command } from '@disk-image/core'
import {
  largestFileBytes,
  locate,
  type QemuImgCallOptions,
  type QemuImgContext,
  runCreation,
  runQemuImg,
} from './context.ts'
import { creationOptions, type CreationOptions, checkDestination } from './creation-options.ts'
import {
  checkFormat,
  checkPath,
  checkSize,
  destinationSecret,
  filesOf,
  imageArguments,
  type ImageReference,
  type LocatedImage,
  secretObject,
} from './image-reference.ts'

/** Options of {@link QemuImg.create}. */
export interface CreateOptions extends QemuImgCallOptions, Omit<CreationOptions, 'path'> {
  /** What the new image shows where nothing was written to it. Its format is named, never guessed. */
  readonly backing?: ImageReference | undefined
}

/** The command line of `qemu-img create`. */
export function createCommand(
  image: CreationOptions & LocatedImage,
  sizeBytes: number,
  backing?: Pick<ImageReference, 'format' | 'path'>,
): Command {
  checkPath(image.path, 'image')
  checkFormat(image.format, 'image')
  checkSize(sizeBytes, 'sizeBytes')
  if (backing !== undefined) {
    checkPath(backing.path, 'backing file')
    checkFormat(backing.format, 'backing file')
  }
  const options = creationOptions(image)
  return {
    file: 'qemu-img',
    args: [
      'create',
      '-q',
      ...(image.passphraseFile === undefined ? [] : secretObject(destinationSecret, image.passphraseFile)),
      '-f',
      image.format,
      ...(options === '' ? [] : ['-o', options]),
      ...(backing === undefined ? [] : ['-b', backing.path, '-F', backing.format]),
      image.path,
      String(sizeBytes),
    ],
  }
}

export async function create(
  context: QemuImgContext,
  path: string,
  sizeBytes: number,
  options: CreateOptions,
): Promise<void> {
  const image = await locate({ ...options, path })
  const backing = options.backing === undefined ? undefined : await locate(options.backing)
  const command = createCommand(image, sizeBytes, backing)
  await checkDestination(context, image.path, options)
  const [, ...others] = filesOf([image])
  const read = [...others, ...(backing === undefined ? [] : filesOf([backing]))]
  await runCreation(context, command, options, {
    files: { read, write: [image.path] },
    fileSizeBytes: largestFileBytes(sizeBytes),
  })
}

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
