import { ImageUnacceptableError } from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { judgeContent } from '../judge/judge.ts'
import type { Services } from '../services/services.ts'
import type { Job } from './job.ts'

/**
 * Refuses an image for what its bytes are: a format that was not claimed, an unsafe feature, a disk that
 * doesn't fit. With `head` only what can't change any more is judged.
 *
 * @throws {ImageUnacceptableError} with rule, place and what would be accepted
 */
export function checkInspection(
  services: Services,
  job: Job,
  inspection: InspectionResult,
  extent: 'head' | 'whole',
): void {
  // A fixed VHD has its only mark at the end: its head may look like anything.
  if (extent === 'head' && job.claimedFormat === 'vpc' && inspection.format !== 'vhd') return
  const verdict = judgeContent(services, {
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
  const hasKey = job.request.sourcePassphraseFile !== undefined
  // Our own reader opens it, which has rules of its own.
  if (hasKey && (job.request.decrypt === true || job.target.encodes)) return 'raw'
  const mayBeLuks = job.claimedFormat === undefined || job.claimedFormat === 'raw'
  if (hasKey && mayBeLuks) return 'luks'
  return job.claimedFormat ?? 'raw'
}
