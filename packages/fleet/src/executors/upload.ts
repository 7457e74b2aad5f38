import { ImageDownloadFailedError, InvalidError } from '@disk-image/core'
import type { ImageRecord, ImageService } from '@disk-image/core'
import type { UploadJob } from '../jobs/job.ts'
import type { Execution, Report } from './execution.ts'
import { needRbd } from './need-rbd.ts'

/**
 * A volume into an image without data. Where an earlier attempt was ended after its last byte and before it could
 * say so, the image is there already: then that is the result.
 */
export async function runUpload(job: UploadJob, execution: Execution): Promise<Report> {
  const { imageUtils, context, signal, onProgress, backend } = execution
  const { imageId, volume, volumeFormat, compression, storeId } = job
  const imageService = execution.imageService as ImageService
  const image = execution.record as ImageRecord
  if (image.status === 'active') {
    if (await execution.hasBegun())
      return { imageId, volume, image, bytesUploaded: image.size ?? 0, earlierAttempt: true }
    throw new InvalidError({ reason: `Image ${imageId} has data already: an upload needs an image without.` })
  }
  if (image.status !== 'queued') {
    // What a killed attempt left is taken back by the service when it notes that the connection is gone.
    throw new ImageDownloadFailedError({ imageId, reason: `its status is ${image.status}, not queued yet.` })
  }
  await execution.noteBegun()
  execution.check()
  const send = async (source: string): Promise<Report> => ({
    ...(await imageUtils.volumeToImage({
      imageService,
      context,
      image,
      volume: source,
      volumeFormat,
      compression,
      storeId,
      runAsRoot: backend.runAsRoot,
      signal,
      onProgress,
    })),
  })
  if (!volume.startsWith('rbd:')) return send(volume)
  await using temporary = await imageUtils.temporaryFile({ prefix: 'fleet_rbd_' })
  await needRbd(execution).read(volume, temporary.path, { signal })
  execution.check()
  return { ...(await send(temporary.path)), volume }
}
