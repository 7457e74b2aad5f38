import { type Refusal, toGlanceFormat, toQemuFormat } from '@disk-image/core'
import { inspectFile, withSource } from '../files/file-reader.ts'
import { checkContent, judgeContent } from '../judge/judge.ts'
import type { Services } from '../services/services.ts'

/** Keywords of {@link checkImageFile}. */
export interface CheckImageFileOptions {
  /** What the file is claimed to be, by any name of a format. `ami` claims nothing. @default what the inspector finds */
  readonly diskFormat?: string | undefined
  /** Named in errors. @default the path */
  readonly imageId?: string | undefined
}

/**
 * Judges a file that is to become an image as it will be judged when somebody fetches it.
 *
 * @returns its `disk_format`, by Glance's name: what was claimed, or else what was found
 * @throws {ImageUnacceptableError} with the rule, what was found and what would be accepted
 */
export async function checkImageFile(
  services: Services,
  path: string,
  { diskFormat, imageId = path }: CheckImageFileOptions = {},
): Promise<string> {
  return withSource(path, async (source) => {
    const inspection = await inspectFile(source.path)
    const isClaim = diskFormat !== undefined && diskFormat.toLowerCase() !== 'ami'
    const claimedFormat = isClaim ? toQemuFormat(diskFormat) : undefined
    checkContent(services, imageId, { claimedFormat, inspection })
    // Glance has no name for an encrypted container: it is carried as raw bytes.
    return toGlanceFormat(diskFormat ?? (inspection.format === 'luks' ? 'raw' : inspection.format))
  })
}

/** What is uploaded, and as what. */
interface Upload {
  readonly image: { readonly id: string; readonly disk_format?: string | null | undefined }
  readonly volume: string
  readonly volumeFormat: string
  readonly containerFormat: string
}

/** What is wrong with a raw image's bytes in the eyes of who fetches it. They are uploaded all the same. */
export async function uploadWarnings(
  services: Services,
  { image, volume, volumeFormat, containerFormat }: Upload,
): Promise<readonly Refusal[]> {
  const claimedFormat = toQemuFormat(image.disk_format ?? 'raw')
  const wrapped = containerFormat !== 'bare' && containerFormat !== 'compressed'
  if (claimedFormat !== 'raw' || toQemuFormat(volumeFormat) !== 'raw' || wrapped) return []
  // An open handle may belong to what this process may not open itself.
  const inspection = await inspectFile(volume).catch(() => undefined)
  if (inspection === undefined) return []
  const verdict = judgeContent(services, { claimedFormat, inspection })
  if (verdict.ok) return []
  const { ok: _, ...refusal } = verdict
  const warning = { ...refusal, accepted: `${refusal.accepted ?? 'a raw disk'}; or upload it as qcow2` }
  services.logger.warn('The image will be refused when it is fetched as raw', {
    imageId: image.id,
    ...warning,
  })
  return [warning]
}
