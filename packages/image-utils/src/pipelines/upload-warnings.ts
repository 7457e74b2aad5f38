import { type Refusal, toQemuFormat } from '@disk-image/core'
import { inspectFile } from '../operations/qemu-info.ts'
import type { Toolbox } from '../dependencies.ts'
import { judgeContent } from './judge.ts'

/** What is uploaded, and as what. */
interface Upload {
  readonly image: { readonly id: string; readonly disk_format?: string | null | undefined }
  readonly volume: string
  readonly volumeFormat: string
  readonly containerFormat: string
}

/** What is wrong with a raw image's bytes in the eyes of who fetches it. They are uploaded all the same. */
export async function uploadWarnings(
  toolbox: Toolbox,
  { image, volume, volumeFormat, containerFormat }: Upload,
): Promise<readonly Refusal[]> {
  const claimedFormat = toQemuFormat(image.disk_format ?? 'raw')
  const wrapped = containerFormat !== 'bare' && containerFormat !== 'compressed'
  if (claimedFormat !== 'raw' || toQemuFormat(volumeFormat) !== 'raw' || wrapped) return []
  // An open handle may belong to what this process may not open itself.
  const inspection = await inspectFile(volume).catch(() => undefined)
  if (inspection === undefined) return []
  const verdict = judgeContent(toolbox, { claimedFormat, inspection })
  if (verdict.ok) return []
  const { ok: _, ...refusal } = verdict
  const warning = { ...refusal, accepted: `${refusal.accepted ?? 'a raw disk'}; or upload it as qcow2` }
  toolbox.logger.warn('The image will be refused when it is fetched as raw', {
    imageId: image.id,
    ...warning,
  })
  return [warning]
}
