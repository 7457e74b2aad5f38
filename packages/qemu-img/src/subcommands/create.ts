import type { Command } from '@disk-image/core'
import { creationOptions } from '../command/creation-options.ts'
import type { CreationOptions } from '../command/creation-options.ts'
import { checkFormat } from '../command/image-formats.ts'
import { filesOf } from '../command/image-reference.ts'
import type { ImageReference, LocatedImage } from '../command/image-reference.ts'
import { checkPath, checkSize, destinationSecret, secretObject } from '../command/option-list.ts'
import { checkDestination } from './destination.ts'
import { largestFileBytes, locate, runCreation } from './context.ts'
import type { QemuImgCallOptions, QemuImgContext } from './context.ts'

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
