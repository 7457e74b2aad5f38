import { toQemuFormat } from '@disk-image/core'
import { inspect } from '@disk-image/format-policy/inspector'
import type { Toolbox } from '../dependencies.ts'
import { driverOf } from '../operations/drivers.ts'
import { withFileReader } from '../sources/file-reader.ts'
import type { Job } from './job.ts'
import { checkInspection } from './judge.ts'
import type { Received } from './receive.ts'

/**
 * An image that was downloaded before: the path that `TemporaryImages` holds for this user.
 *
 * @returns undefined where there is none
 */
export async function receiveTemporaryImage(toolbox: Toolbox, job: Job): Promise<Received | undefined> {
  if (job.wrapping !== 'none') return undefined
  const path = toolbox.temporaryImages.forImageService(job.imageService).get(job.context, job.imageId)
  if (path === undefined) return undefined
  return withFileReader(path, async (reader) => {
    const inspection = await inspect(reader)
    checkInspection(toolbox, job, inspection, 'whole')
    return {
      inspection,
      format: toQemuFormat(driverOf(inspection)),
      bytes: reader.size,
      report: undefined,
      signatureVerified: false,
      warnings: [],
      result: { kind: 'in-file', path },
    }
  })
}
