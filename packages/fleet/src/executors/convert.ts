import { InvalidError, toQemuFormat } from '@disk-image/core'
import type { ConvertJob } from '../jobs/job.ts'
import type { Execution, Report } from './execution.ts'
import { needRbd } from './need-rbd.ts'

/** A disk file into another format; both are told. */
export async function runConvert(job: ConvertJob, execution: Execution): Promise<Report> {
  const { imageUtils, signal, onProgress, backend } = execution
  const { source, sourceFormat, volume, volumeFormat, volumeSubformat, compression = 'none' } = job
  const convert = (destination: string): Promise<void> =>
    imageUtils.convertImage(source, destination, volumeFormat, {
      srcFormat: sourceFormat,
      outSubformat: volumeSubformat,
      compress: compression !== 'none',
      compression: compression === 'none' ? undefined : compression,
      disableSparse: job.disableSparse,
      imageId: source,
      runAsRoot: backend.runAsRoot ?? false,
      signal,
      onProgress,
    })
  execution.check()
  if (!volume.startsWith('rbd:')) await convert(volume)
  else {
    const driver = needRbd(execution)
    if (toQemuFormat(volumeFormat) !== 'raw') throw new InvalidError({ reason: 'A volume of Ceph is raw.' })
    await using temporary = await imageUtils.temporaryFile({ prefix: 'fleet_rbd_' })
    await convert(temporary.path)
    execution.check()
    await driver.write(temporary.path, volume, { signal })
  }
  return { source, volume, sourceFormat, volumeFormat }
}
