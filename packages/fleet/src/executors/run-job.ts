import {
  toQemuFormat,
  type ImageRecord,
  type ImageService,
  InvalidError,
  type Target,
  ImageDownloadFailedError,
} from '@disk-image/core'
import type { ImageToVolumeRequest, RequestedImage } from '@disk-image/image-utils'
import type { FleetJob, ConvertJob, FetchJob, UploadJob } from '../jobs/job.ts'
import { type Execution, type Report, needRbd } from './execution.ts'
import { cacheNameOf, readThroughCache } from '../cache/cached-image-service.ts'

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
      await execution.check()
      const base = await imageUtils.coalesceChain(job.chain, { signal, onProgress })
      return { base, merged: job.chain.length - 1 }
    }
    case 'inspect':
    default: {
      const { imageService } = execution
      // Nothing is written: a name in an empty folder stands for the volume that would be.
      await using folder = await imageUtils.temporaryDir({ prefix: 'fleet_inspect_' })
      const volume = `${folder.path}/volume`
      const plan = await imageUtils.planImageToVolume({
        ...imageOf(job, imageService),
        context,
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

/** A disk file into another format; both are told. */
async function runConvert(job: ConvertJob, execution: Execution): Promise<Report> {
  const { imageUtils, signal, onProgress, writeRight, backend } = execution
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
      writeRight,
    })
  await execution.check()
  if (!volume.startsWith('rbd:')) await convert(volume)
  else {
    const driver = needRbd(execution)
    if (toQemuFormat(volumeFormat) !== 'raw') throw new InvalidError({ reason: 'A volume of Ceph is raw.' })
    await using temporary = await imageUtils.temporaryFile({ prefix: 'fleet_rbd_' })
    await convert(temporary.path)
    await execution.check()
    await driver.write(temporary.path, volume, { signal })
  }
  return { source, volume, sourceFormat, volumeFormat }
}

/** An image onto a volume, through the cache where there is one. */
async function runFetch(job: FetchJob, execution: Execution): Promise<Report> {
  const { imageUtils, context, signal, onProgress, writeRight, backend } = execution
  const { imageId, source, sourceFormat, hash, volume, type: _type, ...more } = job
  const { backend: _backend, cloud: _cloud, passphrase, ...keywords } = more
  const { imageService, record } = execution
  if (hash !== undefined && record !== undefined) checkHash(record, hash)
  const held =
    record === undefined || imageService === undefined
      ? { imageService, release: () => undefined }
      : await holdInCache(record, imageService, execution)
  try {
    await execution.check()
    const fill = async (destination: string, target?: Target): Promise<Report> => ({
      ...(await imageUtils.imageToVolume({
        ...keywords,
        ...imageOf({ imageId, source, sourceFormat }, held.imageService),
        checksums: hash !== undefined && source !== undefined ? [hash] : undefined,
        sourcePassphraseFile: passphrase === undefined ? undefined : passphraseFile(passphrase, execution),
        target: target && checkedBefore(target, execution),
        context,
        volume: destination,
        runAsRoot: backend.runAsRoot,
        signal,
        onProgress,
        writeRight,
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
    await execution.check()
    await driver.write(temporary.path, volume, { signal })
    return { ...report, volume }
  } finally {
    held.release()
  }
}

/** What a job reads, in the facade's terms. */
function imageOf(
  { imageId = '', source, sourceFormat }: Pick<FetchJob, 'imageId' | 'source' | 'sourceFormat'>,
  imageService: ImageService | undefined,
): RequestedImage & Pick<ImageToVolumeRequest, 'imageService' | 'sourceFormat'> {
  return source === undefined ? { imageId, imageService } : { source, sourceFormat, imageService }
}

/** @throws {InvalidError} for a name that the worker doesn't have */
function passphraseFile(name: string, { passphrases }: Execution): string {
  const file = Object.hasOwn(passphrases, name) ? passphrases[name] : undefined
  if (file !== undefined) return file
  throw new InvalidError({ reason: `This worker has no passphrase ${name}: add it to its configuration.` })
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

/** Asks whose the volume is before each change: a process that was stopped goes on where it was. */
function checkedBefore(target: Target, execution: Execution): Target {
  const checked = async (act: () => Promise<void>): Promise<void> => {
    await execution.check()
    await act()
  }
  return {
    write: (bytes, offset) => checked(() => target.write(bytes, offset)),
    zero: (offset, length) => checked(() => target.zero(offset, length)),
    commit: (sizeBytes) => checked(() => target.commit(sizeBytes)),
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

/**
 * A volume into an image without data. Where an earlier attempt was ended after its last byte and before it could
 * say so, the image is there already: then that is the result.
 */
async function runUpload(job: UploadJob, execution: Execution): Promise<Report> {
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
  await execution.check()
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
  await execution.check()
  return { ...(await send(temporary.path)), volume }
}
