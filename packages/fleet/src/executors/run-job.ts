import { toQemuFormat } from '@disk-image/core'
import type { ImageRecord, ImageService } from '@disk-image/core'
import type { FleetJob } from '../jobs/job.ts'
import { runConvert } from './convert.ts'
import type { Execution, Report } from './execution.ts'
import { runFetch } from './fetch.ts'
import { runUpload } from './upload.ts'

/** Does a job, over the facade. */
export async function runJob(job: FleetJob, execution: Execution): Promise<Report> {
  const { imageUtils, context, signal, onProgress } = execution
  switch (job.type) {
    case 'fetch':
      return runFetch(job, execution)
    case 'upload':
      return runUpload(job, execution)
    case 'convert':
      return runConvert(job, execution)
    case 'coalesce': {
      execution.check()
      const base = await imageUtils.coalesceChain(job.chain, { signal, onProgress })
      return { base, merged: job.chain.length - 1 }
    }
    case 'inspect':
    default: {
      const imageService = execution.imageService as ImageService
      // Nothing is written: a name in an empty folder stands for the volume that would be.
      await using folder = await imageUtils.temporaryDir({ prefix: 'fleet_inspect_' })
      const volume = `${folder.path}/volume`
      const plan = await imageUtils.planImageToVolume({
        imageService,
        context,
        imageId: job.imageId,
        volume,
        signal,
      })
      const { imageId, format, volumeBytes, refusals } = plan
      return { imageId, format, volumeBytes, refusals, accepted: refusals.length === 0 }
    }
  }
}

/** Every volume that a job names. */
export function volumesOf(job: FleetJob): readonly string[] {
  switch (job.type) {
    case 'fetch':
    case 'upload':
      return [job.volume]
    case 'convert':
      return [job.source, job.volume]
    case 'coalesce':
      return job.chain
    case 'inspect':
    default:
      return []
  }
}

/** Whether a job needs a processor core rather than a network. */
export function convertsData(job: FleetJob, record: ImageRecord | undefined): boolean {
  switch (job.type) {
    case 'fetch':
      return toQemuFormat(record?.disk_format ?? '') !== toQemuFormat(job.volumeFormat ?? 'raw')
    case 'upload':
      return toQemuFormat(record?.disk_format ?? 'raw') !== toQemuFormat(job.volumeFormat ?? 'raw')
    case 'convert':
    case 'coalesce':
      return true
    case 'inspect':
    default:
      return false
  }
}
