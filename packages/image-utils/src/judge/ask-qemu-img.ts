import {
  ImageError,
  ImageUnacceptableError,
  InvalidError,
  ProcessExecutionError,
  type QemuImgInfo,
  type Refusal,
} from '@disk-image/core'
import { ImageConversionNotAllowedError } from '@disk-image/format-policy'
import { QemuImgOutputError } from '@disk-image/qemu-img'
import type { Services } from '../services/services.ts'
import { checkSameSize } from './judge.ts'

/**
 * Asks qemu-img once what it makes of a file whose format we know, and refuses where the two disagree.
 *
 * @throws {ImageUnacceptableError} also where qemu-img is not installed, saying what to install
 */
export async function crossCheck(services: Services, question: CrossCheck): Promise<QemuImgInfo> {
  const { imageId, format, judgedBytes, volumeSizeGiB } = question
  const info = await askQemuImg(services, question)
  services.policy.check(imageId, { claimedFormat: format, info, volumeSizeGiB })
  checkSameSize(imageId, info.virtualSize, judgedBytes)
  return info
}

/** What {@link crossCheck} asks about. */
export interface CrossCheck {
  readonly imageId: string
  readonly path: string
  /** In qemu-img's terms. */
  readonly format: string
  /** The size that the policy judged; undefined where the inspector can't tell it. */
  readonly judgedBytes: number | undefined
  readonly volumeSizeGiB?: number | undefined
  readonly asRoot?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

function isOwnCrash(signalName: string | undefined): boolean {
  return !['SIGHUP', 'SIGINT', 'SIGKILL', 'SIGTERM'].includes(signalName ?? '')
}

async function askQemuImg(
  services: Services,
  { imageId, path, format, asRoot, signal }: CrossCheck,
): Promise<QemuImgInfo> {
  try {
    return await services.qemuImg.info(path, { format, asRoot, signal })
  } catch (error) {
    // It ended by itself: the image is what it can't read. Its limits keep their own names, and so does who was ended by
    // somebody else, as where memory runs out.
    const broke =
      error instanceof ProcessExecutionError &&
      (error.endReason === 'exit' || (error.endReason === 'signal' && isOwnCrash(error.signalName)))
    if (!broke && !(error instanceof QemuImgOutputError)) throw error
    const said = broke ? error.stderr.trim() || error.shortMessage : error.message
    throw new ImageUnacceptableError({
      imageId,
      reason: `qemu-img can't read it as ${format}: ${said}`,
      rule: 'qemu-img-info',
      accepted: `an image that qemu-img info -f ${format} opens`,
      cause: error,
    })
  }
}

/** The original's refusal where qemu-img is missing, with what to do about it. */
export function qemuImgMissing(imageId: string, cause: unknown): ImageUnacceptableError {
  return new ImageUnacceptableError({
    imageId,
    reason:
      'qemu-img is not installed and image is not of type RAW.  Only RAW images can be used if qemu-img is not installed.',
    rule: 'qemu-img-installed',
    accepted: 'a raw image, or qemu-img: apt-get install qemu-utils',
    cause,
  })
}

/**
 * Notices a missing qemu-img before anything is downloaded for it. Whatever else may be wrong with it, the call that
 * needs it tells best.
 *
 * @throws {ProcessExecutionError} where it is not installed
 */
export async function checkQemuImg(
  services: Pick<Services, 'qemuImg'>,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await services.qemuImg.version(signal)
  } catch (error) {
    if (error instanceof ProcessExecutionError && error.endReason === 'not-installed') throw error
    signal?.throwIfAborted()
  }
}

/** The packages below know no image: their refusals get its id, and a missing tool the original's words. */
export function withImageId(imageId: string, error: unknown): unknown {
  if (error instanceof ProcessExecutionError && error.endReason === 'not-installed') {
    return qemuImgMissing(imageId, error)
  }
  if (!ImageError.is(error) || error.kind !== 'refused' || error instanceof InvalidError) return error
  if (error instanceof ImageConversionNotAllowedError) return error
  const refusal = error as ImageError & Partial<Refusal>
  return new ImageUnacceptableError({
    imageId,
    reason: refusal.reason ?? error.message,
    rule: refusal.rule,
    found: refusal.found,
    offset: refusal.offset,
    accepted: refusal.accepted,
    reference: refusal.reference,
    cause: error,
  })
}
