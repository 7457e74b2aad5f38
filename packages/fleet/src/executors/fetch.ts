import { InvalidError, toQemuFormat } from '@disk-image/core'
import type { ImageRecord, ImageService, Target } from '@disk-image/core'
import { cacheNameOf, readThroughCache } from '../cache/cached-image-service.ts'
import type { FetchJob } from '../jobs/job.ts'
import type { Execution, Report } from './execution.ts'
import { needRbd } from './need-rbd.ts'

/** An image onto a volume, through the cache where there is one. */
export async function runFetch(job: FetchJob, execution: Execution): Promise<Report> {
  const { imageUtils, context, signal, onProgress, backend } = execution
  const { imageId, hash, volume, type: _type, backend: _backend, cloud: _cloud, ...keywords } = job
  const imageService = execution.imageService as ImageService
  const record = execution.record as ImageRecord
  if (hash !== undefined) checkHash(record, hash)
  const held = await holdInCache(record, imageService, execution)
  try {
    execution.check()
    const fill = async (destination: string, target?: Target): Promise<Report> => ({
      ...(await imageUtils.imageToVolume({
        ...keywords,
        target: target && checkedBefore(target, execution),
        imageService: held.imageService,
        context,
        imageId,
        volume: destination,
        runAsRoot: backend.runAsRoot,
        signal,
        onProgress,
      })),
    })
    if (!volume.startsWith('rbd:')) return await fill(volume)
    const driver = needRbd(execution)
    if (toQemuFormat(job.volumeFormat ?? 'raw') !== 'raw') {
      throw new InvalidError({ reason: 'A volume of Ceph is raw: leave volumeFormat out.' })
    }
    const target = await driver.openNew?.(volume, { signal })
    if (target !== undefined) return await fillNew(target, () => fill(volume, target))
    await using temporary = await imageUtils.temporaryFile({ prefix: 'fleet_rbd_' })
    const report = await fill(temporary.path)
    execution.check()
    await driver.write(temporary.path, volume, { signal })
    return { ...report, volume }
  } finally {
    held.release()
  }
}

/** A volume that is new is taken back where it isn't filled, whoever noticed. */
async function fillNew(target: Target, fill: () => Promise<Report>): Promise<Report> {
  try {
    return await fill()
  } catch (error) {
    await target.abandon()
    throw error
  }
}

/** Asks once more whose the volume is, before it becomes one. */
function checkedBefore(target: Target, execution: Execution): Target {
  return {
    write: (bytes, offset) => target.write(bytes, offset),
    zero: (offset, length) => target.zero(offset, length),
    commit: (sizeBytes) => {
      execution.check()
      return target.commit(sizeBytes)
    },
    abandon: () => target.abandon(),
    [Symbol.asyncDispose]: () => target.abandon(),
  }
}

function checkHash(record: ImageRecord, expected: NonNullable<FetchJob['hash']>): void {
  const { os_hash_algo: algorithm, os_hash_value: value, checksum } = record
  const found = expected.algorithm === 'md5' ? checksum : algorithm === expected.algorithm ? value : undefined
  if (found !== expected.value) {
    throw new InvalidError({
      reason: `Image ${record.id} is not the one that the job is for: its record has another ${expected.algorithm}.`,
    })
  }
}

async function holdInCache(
  record: ImageRecord,
  imageService: ImageService,
  { cache, context, signal, onProgress }: Execution,
): Promise<{ readonly imageService: ImageService; readonly release: () => void }> {
  const name = cacheNameOf(record)
  if (
    cache === undefined ||
    name === undefined ||
    record.status !== 'active' ||
    !cache.admits(record.size ?? 0)
  ) {
    return { imageService, release: () => undefined }
  }
  const release = await cache.hold(name, { imageService, context, record }, { signal, onProgress })
  return { imageService: readThroughCache(imageService, cache, name, record), release }
}
