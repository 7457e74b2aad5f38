import type { Command } from 'commander'
import { ImageUnacceptableError, toQemuFormat } from '@disk-image/core'
import type { ImageUtils } from '@disk-image/image-utils'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { holdOperand } from './file-source.ts'
import { openWord } from './open-word.ts'

/** Flags of a command that makes an image of a file. */
export interface JudgeFlags {
  readonly diskFormat?: string | undefined
  readonly containerFormat?: string | undefined
  /** `false`: `--no-inspect`. */
  readonly inspect?: boolean | undefined
}

/** Containers that hold the disk in a file of another kind, which whoever fetches the image unpacks. */
const envelopes = new Set(['compressed', 'docker', 'ova', 'ovf'])

/** Options of commands that make an image of a file. */
export function withJudgeOptions(command: Command): Command {
  return withArchiveOption(command).option(
    '--no-inspect',
    'store the file as it is: gives up that it is what --disk-format says, and safe to fetch',
  )
}

/** The option of every command that judges what a raw disk holds. */
export function withArchiveOption(command: Command): Command {
  return command.option(
    '--allow-archives-as-raw',
    'take an archive or compressed file for a raw disk: gives up that it was unpacked first',
  )
}

/**
 * Judges a file that becomes an image, as the upload of a volume does.
 *
 * @returns its `disk_format`: what was given, or what the file is
 * @throws {UsageError} where only the user can say what it is
 * @throws {ImageUnacceptableError}
 */
export async function judgeUpload(
  session: Session,
  { path, name }: { readonly path: string; readonly name: string },
  flags: JudgeFlags,
): Promise<string> {
  const { diskFormat } = flags
  checkDiskFormat(flags)
  if (!isInspected(flags)) return diskFormat ?? ''
  const imageUtils = await session.imageUtils()
  return imageUtils.checkImageFile(path, { diskFormat, imageId: name })
}

/** Whether what becomes an image is looked into. */
export function isInspected({ containerFormat = 'bare', inspect = true }: JudgeFlags): boolean {
  return inspect && !envelopes.has(containerFormat)
}

/** @throws {UsageError} where only the user can say what it is */
export function checkDiskFormat(flags: JudgeFlags): void {
  const { diskFormat, containerFormat = 'bare', inspect = true } = flags
  if (isInspected(flags) || diskFormat !== undefined) return
  throw new UsageError(
    inspect
      ? `Say with --disk-format FORMAT what is inside of the container (${containerFormat}).`
      : 'Without an inspection, say with --disk-format FORMAT what the file is.',
  )
}

/**
 * Whether a local file is wrapped in what is opened on the way into an image, as of a source from elsewhere. A block
 * device is a volume, whatever its guest wrote at its start.
 */
export async function isWrappedFile(session: Session, word: string, path: string): Promise<boolean> {
  await using held = await holdOperand(session, path)
  if (held.kind !== 'file') return false
  const imageUtils = await session.imageUtils()
  // What can't be read here is read through the root helper, or refused by the upload itself.
  await using source = await openWord(session, imageUtils, word, { bare: 'file' }).catch(() => undefined)
  return source?.containerFormat !== undefined
}

/**
 * Refuses an archive or compressed file in the place of a raw volume, before an image is made for it. Nothing else is
 * looked for in a raw volume: whatever its guest wrote there is its bytes.
 *
 * @throws {ImageUnacceptableError} rule `disk-image`
 */
export async function refuseArchive(
  imageUtils: ImageUtils,
  { path, name }: { readonly path: string; readonly name: string },
  volumeFormat: string,
): Promise<void> {
  if (toQemuFormat(volumeFormat) !== 'raw') return
  try {
    await imageUtils.checkImageFile(path, { diskFormat: 'raw', imageId: name })
  } catch (error) {
    // What can't be read here is read through the root helper, or refused by the upload itself.
    if (error instanceof ImageUnacceptableError && error.rule === 'disk-image') throw error
  }
}
