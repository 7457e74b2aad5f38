import { ImageTooBigError } from '@disk-image/core'
import type { ImageRecord, ImageService } from '@disk-image/core'
import { createFormatPolicy, createInspector } from '@disk-image/image-utils/inspector'
import type { FetchJob } from '../jobs/job.ts'
import type { VolumeStream } from '../volumes/volume-driver.ts'
import type { Execution, Report } from './execution.ts'

/**
 * Whether an image can go onto a volume as it comes: it is raw, in nothing, without a signature, and nothing was asked
 * for that has to be known before the first byte.
 */
export function canStream(job: FetchJob, record: ImageRecord, { imageUtils }: Execution): boolean {
  const { verifyBeforeWrite = false } = job
  const bare =
    record.container_format === undefined ||
    record.container_format === null ||
    record.container_format === 'bare'
  const signed = Object.keys(record.properties).some((name) => name.startsWith('img_signature'))
  // What can't be verified is reported by the longer way.
  const hashed = (record.os_hash_value ?? record.checksum ?? null) !== null
  const strict = !hashed || verifyBeforeWrite || imageUtils.options.allowArchivesAsRaw
  return record.disk_format === 'raw' && bare && !signed && !strict && typeof record.size === 'number'
}

/**
 * Raw bytes straight into a volume that has no name yet, inspected and hashed as they pass. It gets its name when the
 * inspector, the policy and the hash have nothing against it; otherwise it is taken back.
 *
 * @throws {ImageUnacceptableError | ImageDownloadFailedError}
 */
export async function streamRaw(
  job: FetchJob,
  imageService: ImageService,
  stream: VolumeStream,
  execution: Execution,
): Promise<Report> {
  const { imageUtils, context, signal, onProgress } = execution
  const { imageId, volume, volumeSizeGiB, verify, connections, preferStores } = job
  const inspector = createInspector()
  const policy = createFormatPolicy({
    ...imageUtils.options.formatRules,
    vmdkAllowedTypes: imageUtils.options.vmdkAllowedTypes,
  })
  const sizeBytes = execution.record?.size ?? Infinity
  let bytes = 0
  let headJudged = false
  try {
    const report = await imageService.download(
      context,
      imageId,
      {
        write: async (chunk) => {
          inspector.write(chunk)
          bytes += chunk.length
          const head = headJudged ? undefined : inspector.headVerdict()
          if (head !== undefined)
            policy.check(imageId, { claimedFormat: 'raw', inspection: head, volumeSizeGiB })
          headJudged ||= head !== undefined
          if (volumeSizeGiB !== undefined) imageUtils.checkVirtualSize(bytes, volumeSizeGiB, imageId)
          // Whatever the service sends: no more than the record says reaches the volume.
          if (bytes > sizeBytes) {
            throw new ImageTooBigError({
              imageId,
              reason: `${bytes} bytes came where ${sizeBytes} were announced`,
            })
          }
          await stream.write(chunk)
        },
      },
      { signal, onProgress, verify, connections, preferStores },
    )
    // A disk consists of whole sectors.
    if (bytes % 512 !== 0) await stream.write(new Uint8Array(512 - (bytes % 512)))
    policy.check(imageId, { claimedFormat: 'raw', inspection: inspector.end(), volumeSizeGiB })
    execution.check()
    await stream.finish()
    const { hash, resumes } = report
    return {
      imageId,
      volume,
      format: 'raw',
      volumeFormat: 'raw',
      bytesDownloaded: report.bytes,
      hash,
      resumes,
    }
  } catch (error) {
    await stream.abandon()
    throw error
  }
}
