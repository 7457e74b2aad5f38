import {
  ImageUnacceptableError,
  ProcessExecutionError,
  type QemuImgInfo,
  type Verdict,
} from '@disk-image/core'
import type { ImageEvidence } from '@disk-image/format-policy'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { QemuImgOutputError } from '@disk-image/qemu-img'
import type { Toolbox } from '../dependencies.ts'
import { hasDriver } from '../formats.ts'
import type { Job } from './job.ts'
import { checkSameSize } from './same-size.ts'

/**
 * Refuses an image for what its bytes are: a format that was not claimed, an unsafe feature, a disk that
 * doesn't fit. With `head` only what can't change any more is judged.
 *
 * @throws {ImageUnacceptableError} with rule, place and what would be accepted
 */
export function checkInspection(
  toolbox: Toolbox,
  job: Job,
  inspection: InspectionResult,
  extent: 'head' | 'whole',
): void {
  // A fixed VHD has its only mark at the end: its head may look like anything.
  if (extent === 'head' && job.claimedFormat === 'vpc' && inspection.format !== 'vhd') return
  const verdict = judgeContent(toolbox, {
    claimedFormat: claimOf(job, inspection),
    inspection,
    volumeSizeGiB: job.request.volumeSizeGiB,
    hasPassphrase: job.target.kind === 'copy' ? undefined : job.request.sourcePassphraseFile !== undefined,
  })
  if (!verdict.ok) throw new ImageUnacceptableError({ ...verdict, imageId: job.imageId })
}

/**
 * As what an image is judged. An encrypted container is carried as raw bytes, also where its record says nothing
 * that binds; where there is a key for it, it is opened, and what is inside of it counts.
 */
function claimOf(job: Job, inspection: InspectionResult): string | undefined {
  if (inspection.format !== 'luks') return job.claimedFormat
  // Our own reader opens it, which has rules of its own.
  if (job.request.decrypt === true) return 'raw'
  const mayBeLuks = job.claimedFormat === undefined || job.claimedFormat === 'raw'
  if (job.request.sourcePassphraseFile !== undefined && mayBeLuks) return 'luks'
  return job.claimedFormat ?? 'raw'
}

/** What the policy says of an image's bytes, with the facade's own option for archives. */
export function judgeContent(
  toolbox: Toolbox,
  evidence: ImageEvidence & { readonly inspection: InspectionResult },
): Verdict {
  const { inspection, claimedFormat } = evidence
  const archive = inspection.checks.some(({ name, ok }) => name === 'disk-image' && !ok)
  if (!archive || claimedFormat !== 'raw') return toolbox.policy.judge(evidence)
  if (!toolbox.options.allowArchivesAsRaw) return toolbox.policy.judge(evidence)
  // Several kinds at once, of which no tool opens any, are still just bytes.
  const waived =
    hasDriver(inspection) || inspection.matches.includes('luks')
      ? ['disk-image']
      : ['disk-image', 'ambiguous']
  const checks = inspection.checks.filter(({ name }) => !waived.includes(name))
  return toolbox.policy.judge({ ...evidence, inspection: { ...inspection, format: 'raw', checks } })
}

/**
 * Refuses an image by {@link judgeContent}.
 *
 * @throws {ImageUnacceptableError}
 */
export function checkContent(
  toolbox: Toolbox,
  imageId: string,
  evidence: ImageEvidence & { readonly inspection: InspectionResult },
): void {
  const verdict = judgeContent(toolbox, evidence)
  if (!verdict.ok) throw new ImageUnacceptableError({ ...verdict, imageId })
}

/**
 * Refuses an encrypted container that is to be opened where there is no passphrase. One that is carried as raw bytes
 * is never opened; of a qcow2 the policy judges.
 *
 * @throws {ImageUnacceptableError} rule `luks-encryption`, with what to give
 */
export function checkKey(imageId: string, { format }: InspectionResult, claimed: string | undefined): void {
  if (format !== 'luks' || claimed !== 'luks') return
  throw new ImageUnacceptableError({
    imageId,
    reason: 'The disk is encrypted (luks), and there is no passphrase for it',
    rule: 'luks-encryption',
    found: format,
    offset: 0,
    accepted:
      'its passphrase (srcPassphraseFile, --source-passphrase-file) for a volume of the format luks; or raw as its format, which copies the encrypted bytes',
  })
}

/**
 * Asks qemu-img once what it makes of a file whose format we know, and refuses where the two disagree.
 *
 * @throws {ImageUnacceptableError} also where qemu-img is not installed, saying what to install
 */
export async function crossCheck(toolbox: Toolbox, question: CrossCheck): Promise<QemuImgInfo> {
  const { imageId, format, judgedBytes, volumeSizeGiB } = question
  const info = await askQemuImg(toolbox, question)
  toolbox.policy.check(imageId, { claimedFormat: format, info, volumeSizeGiB })
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

async function askQemuImg(
  toolbox: Toolbox,
  { imageId, path, format, asRoot, signal }: CrossCheck,
): Promise<QemuImgInfo> {
  try {
    return await toolbox.qemuImg.info(path, { format, asRoot, signal })
  } catch (error) {
    // It ended by itself: the image is what it can't read. Its limits keep their own names.
    const broke = error instanceof ProcessExecutionError && ['exit', 'signal'].includes(error.endReason)
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
