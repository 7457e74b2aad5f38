import path from 'node:path'
import { inspect } from '@disk-image/format-policy/inspector'
import { extractXenserverArchive } from '@disk-image/vhd'
import type { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { checkAvailableSpace, withSpace } from '../judge/space.ts'
import { Channel } from '@disk-image/io'
import { withFileReader } from '../files/file-reader.ts'
import { downloadInto } from './download-into.ts'
import { checkFits, fileNamePart, type Job } from './job.ts'
import { checkInspection } from './check-inspection.ts'
import type { Received } from './receive.ts'

/**
 * A XenServer archive: unpacked while it arrives, its chain checked. Nothing is coalesced on disk; the chain
 * is read as the one disk that it is.
 */
export async function receiveXenserverImage(
  services: Services,
  job: Job,
  cleanup: Cleanup,
): Promise<Received> {
  const { temporaryFiles } = services
  const folder = await temporaryFiles.temporaryDirectory({
    prefix: `image_vhd_${fileNamePart(job.imageId)}_`,
  })
  cleanup.always(() => folder[Symbol.asyncDispose]())
  if (typeof job.record.size === 'number') {
    await checkAvailableSpace(temporaryFiles.directory, job.record.size, job.imageId)
  }
  const bytes = new Channel()
  const need = { path: path.join(folder.path, '0.vhd'), imageId: job.imageId }
  const extracting = withSpace(need, () =>
    extractXenserverArchive(bytes, folder.path, { ...job.call, durable: false }),
  ).finally(() => bytes.leave(new Error('The archive is not read any more')))
  extracting.catch(() => undefined)
  const downloaded = await downloadInto(services, job, bytes).then(
    (download) => {
      bytes.end()
      return download
    },
    async (error: unknown) => {
      const refused = bytes.abandoned
      bytes.end(error)
      // The archive's refusal says more than the download that it ended.
      if (refused) await extracting
      throw error
    },
  )
  const { chain, virtualSizeBytes } = await extracting
  checkFits(virtualSizeBytes, job.request.volumeSizeGiB, job.imageId)
  const [leaf] = chain
  const inspection = await withFileReader(chain.at(-1) ?? leaf ?? '', (reader) => inspect(reader))
  checkInspection(services, job, inspection, 'whole')
  return {
    ...downloaded,
    inspection,
    format: 'vpc',
    virtualSizeBytes,
    bytes: downloaded.report.bytes,
    result: { kind: 'in-file', path: leaf ?? '', chain },
  }
}
