import { type Command, type ImageSnapshot, InvalidError } from '@disk-image/core'
import { locate, type QemuImgCallOptions, type QemuImgContext, runQemuImg } from './context.ts'
import { filesOf, imageArguments, type ImageReference, type LocatedImage } from './image-reference.ts'
import { info } from './info.ts'

/** Options of the calls about an image's internal snapshots. */
export interface SnapshotOptions extends QemuImgCallOptions, Omit<ImageReference, 'path'> {}

/** What can be done with a snapshot: make one, go back to it, remove it. */
export type SnapshotAction = 'create' | 'apply' | 'delete'

const flags = { create: '-c', apply: '-a', delete: '-d' } as const

/**
 * The command line of `qemu-img snapshot`. It has no option for the format: the image is always named by an
 * option list, so that it isn't guessed.
 */
export function snapshotCommand(image: LocatedImage, action: SnapshotAction, name: string): Command {
  if (typeof name !== 'string' || name === '' || name.includes('\0') || Buffer.byteLength(name) > 255) {
    throw new InvalidError({ reason: 'A snapshot needs a name of at most 255 bytes' })
  }
  const { objects, names } = imageArguments([image], true)
  return {
    file: 'qemu-img',
    args: ['snapshot', ...objects, '--image-opts', '-q', flags[action], name, ...names],
  }
}

/** The snapshots, from `info`: the list of `qemu-img snapshot` is made for people only. */
export async function snapshots(
  context: QemuImgContext,
  path: string,
  options: SnapshotOptions,
): Promise<readonly ImageSnapshot[]> {
  return (await info(context, path, options)).snapshots
}

export async function changeSnapshot(
  context: QemuImgContext,
  path: string,
  action: SnapshotAction,
  name: string,
  options: SnapshotOptions,
): Promise<void> {
  const image = await locate({ ...options, path })
  const command = snapshotCommand(image, action, name)
  const [, ...others] = filesOf([image])
  await runQemuImg(context, command, options, {
    files: { read: others, write: [image.path] },
    fileSizeBytes: Infinity,
  })
}
