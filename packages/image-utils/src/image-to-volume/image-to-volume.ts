import { InvalidError } from '@disk-image/core'
import { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { layoutOf } from '../route/formats.ts'
import { checkQemuImg, crossCheck, withImageId } from '../judge/ask-qemu-img.ts'
import { withFileReader } from '../files/file-reader.ts'
import { checkEncrypted, type Encrypted, isLeftToTool, openEncrypted } from '../judge/decrypt.ts'
import { type Job, type OpenedRequest, prepareJob, routeOf } from './job.ts'
import { passesOf, type Route } from '../route/route.ts'
import { receiveHeldImage, receiveImage, receiveUnwrapped, type Received } from './receive.ts'
import { receiveXenserverImage } from './receive-xenserver-image.ts'
import type { ArchiveToVolumesRequest, ImageToVolumeReport, ImageToVolumeRequest } from './request.ts'
import { Stopwatch, observe, type ObservedOperation } from '../telemetry/telemetry.ts'
import { withOpenedSource } from '../sources/open-source.ts'
import { identifyDestination } from '../write/destination-identity.ts'
import { writeDisk } from '../write/write-disk.ts'

/**
 * An image, from its service onto a volume: inspected, judged, verified, written.
 *
 * When this rejects, nothing temporary is left, and the volume holds nothing that could be taken for an image.
 *
 * @param asCinder as the original: `volumeSizeGiB` is only a limit, which leaves a file as long as its disk, and
 *   qemu-img is asked about VMDK, VDI and Parallels
 * @throws {ImageUnacceptableError} refused, with the rule, the place and what would be accepted
 * @throws {ImageTooBigError} no room, with the folder and the figures
 * @throws {ImageDownloadFailedError} the data could not be had whole and right
 * @throws {ImageNotFoundError | ImageNotAuthorizedError | InvalidError | ProcessExecutionError}
 */
export function imageToVolume(
  services: Services,
  request: ImageToVolumeRequest,
  asCinder = false,
): Promise<ImageToVolumeReport> {
  return observe(services, 'image_to_volume', request, async (observed, operation) => {
    const report = await withOpenedSource(services, observed, (opened) =>
      transfer(services, opened, asCinder, operation),
    )
    // Not the whole report: it names the image and the volume.
    const { format, volumeFormat, bytesDownloaded, bytesWritten, virtualSizeBytes } = report
    const { resumes, signatureVerified } = report
    operation.note({ format, volumeFormat, bytesDownloaded, bytesWritten, virtualSizeBytes })
    operation.note({ resumes, signatureVerified })
    return report
  })
}

/**
 * The disks of an archive (OVA), each onto its own volume, in one pass over the archive.
 *
 * @throws as {@link imageToVolume}; {@link InvalidError} for several volumes of what is no archive
 */
export function archiveToVolumes(
  services: Services,
  { volumes, ...request }: ArchiveToVolumesRequest,
): Promise<ImageToVolumeReport[]> {
  return observe(services, 'image_to_volume', { ...request }, async (observed, operation) => {
    const stopwatch = new Stopwatch(services.clock, operation)
    return withOpenedSource(services, observed, async (opened) =>
      transferAll(services, await prepareVolumes(services, opened, volumes), stopwatch),
    )
  })
}

/**
 * A job for each volume that takes a disk of one image.
 *
 * @throws {InvalidError} where two are the same, or several are for what is no archive
 */
export async function prepareVolumes(
  services: Services,
  opened: Omit<OpenedRequest, 'volume'>,
  volumes: ArchiveToVolumesRequest['volumes'],
  purpose: 'volume' | 'plan' = 'volume',
): Promise<Job[]> {
  await checkDifferent(volumes.flatMap(({ volume, target }) => (target === undefined ? [volume] : [])))
  const jobs: Job[] = []
  for (const volume of volumes) jobs.push(await prepareJob(services, { ...opened, ...volume }, purpose))
  const [first] = jobs
  if (first === undefined) throw new InvalidError({ reason: 'Say in volumes where the disks shall go.' })
  if (first.container !== 'archive' && jobs.length > 1) {
    throw new InvalidError({
      reason: `Image ${first.imageId} is no archive (container_format ova): it has one disk.`,
    })
  }
  return jobs
}

/** Two names may be one file, and two disks on it would be none. */
async function checkDifferent(volumes: readonly string[]): Promise<void> {
  const seen = new Map<string, string>()
  for (const volume of volumes) {
    for (const key of (await identifyDestination(volume)).keys) {
      const other = seen.get(key)
      if (other !== undefined) {
        throw new InvalidError({
          reason: `${other} and ${volume} are the same: each disk needs a volume that is no other's.`,
        })
      }
      seen.set(key, volume)
    }
  }
}

async function transfer(
  services: Services,
  request: OpenedRequest,
  asCinder: boolean,
  operation: ObservedOperation,
): Promise<ImageToVolumeReport> {
  const stopwatch = new Stopwatch(services.clock, operation)
  const job = await prepareJob(services, request, 'volume', asCinder)
  const [report] = await transferAll(services, [job], stopwatch)
  if (report === undefined) throw new Error('nothing was transferred')
  return report
}

async function transferAll(
  services: Services,
  prepared: readonly Job[],
  stopwatch: Stopwatch,
): Promise<ImageToVolumeReport[]> {
  const jobs = prepared.map((job, index): Job => {
    // They have their first pass in common.
    const follow = (route: Route): void => stopwatch.expect(index, passesOf(route) - (index > 0 ? 1 : 0))
    return { ...job, follow }
  })
  return Cleanup.around(services.logger, async (cleanup) => {
    const received = await stopwatch.time('download', () => receive(services, jobs, cleanup))
    const reports: ImageToVolumeReport[] = []
    for (const [index, job] of jobs.entries()) {
      const disk = received[index]
      if (disk === undefined) continue
      const onVolume =
        disk.result.kind === 'on-volume'
          ? disk.result
          : await stopwatch.time('convert', () => convert(services, job, disk, cleanup))
      reports.push(reportOf(job, disk, onVolume, stopwatch))
    }
    return reports
  })
}

function reportOf(
  { imageId, request }: Job,
  { inspection, report, resumedBytes = 0, signatureVerified, warnings, unwrapped }: Received,
  { bytesWritten, virtualSizeBytes }: OnVolume,
  stopwatch: Stopwatch,
): ImageToVolumeReport {
  return {
    imageId,
    volume: request.volume,
    format: inspection.format,
    volumeFormat: request.volumeFormat ?? 'raw',
    bytesDownloaded: report?.bytes ?? 0,
    resumedBytes,
    bytesWritten,
    virtualSizeBytes,
    hash: report?.hash,
    verified: report?.verified ?? [],
    signatureVerified,
    warnings,
    unwrapped,
    resumes: report?.resumes ?? 0,
    durationSeconds: {
      download: stopwatch.seconds('download'),
      convert: stopwatch.seconds('convert'),
      total: stopwatch.total(),
    },
  }
}

interface OnVolume {
  readonly bytesWritten: number
  readonly virtualSizeBytes: number
}

/** The disk inside a container onto a volume, once it is judged. */
async function decryptOnto(
  services: Services,
  job: Job,
  { path, ...encrypted }: Encrypted & { readonly path: string },
  cleanup: Cleanup,
): Promise<OnVolume> {
  const { volumeSizeGiB } = job.request
  await using disk = await openEncrypted(services, { ...encrypted, volumeSizeGiB })
  const { format = 'luks' } = encrypted
  const layout = { format, sizeBytes: disk.size, streams: false, reads: true }
  const route = routeOf(job, layout, { inFile: true })
  const opened = { path, format, disk, virtualSizeBytes: disk.size }
  const bytesWritten = await writeDisk(services, { ...job, route }, opened, cleanup)
  return { bytesWritten, virtualSizeBytes: disk.size }
}

async function receive(services: Services, jobs: readonly Job[], cleanup: Cleanup): Promise<Received[]> {
  const [job] = jobs
  if (job === undefined) return []
  try {
    const expected = routeOf(job, layoutOf(job.claimedFormat))
    if (job.heldPath !== undefined) job.follow?.(expected)
    if (expected.needsQemuImg) await checkQemuImg(services, job.call.signal)
    if (job.container === 'archive') return await receiveUnwrapped(services, jobs, cleanup)
    if (job.heldPath !== undefined) return [await receiveHeldImage(services, job, job.heldPath)]
    if (job.container === 'xenserver') return [await receiveXenserverImage(services, job, expected, cleanup)]
    return [await receiveImage(services, job, expected, cleanup)]
  } catch (error) {
    throw withImageId(job.imageId, error)
  }
}

async function convert(
  services: Services,
  job: Job,
  received: Received,
  cleanup: Cleanup,
): Promise<OnVolume> {
  if (received.result.kind !== 'in-file') return received.result
  const { path, chain } = received.result
  const { format } = received
  try {
    const { decrypt, sourcePassphraseFile: passphraseFile } = job.request
    if (passphraseFile !== undefined) {
      const written = await withFileReader(path, async (reader) => {
        const encrypted = { imageId: job.imageId, reader, passphraseFile, signal: job.call.signal }
        const inside = format === 'qcow2' ? ('qcow2' as const) : ('luks' as const)
        const opened = { ...encrypted, path, format: inside }
        if (decrypt === true) return decryptOnto(services, job, opened, cleanup)
        if (!job.target.encodes) return checkEncrypted(services, opened)
        return decryptOnto(services, job, opened, cleanup).catch((error: unknown) => {
          if (!isLeftToTool(error)) throw error
        })
      })
      if (written !== undefined) return written
    }
    const judgedBytes = received.virtualSizeBytes ?? received.inspection.virtualSizeBytes
    const layout = layoutOf(format, received.inspection, received.head)
    const judged = { ...layout, sizeBytes: judgedBytes ?? received.bytes }
    // What stays encrypted, and is not opened here, only qemu-img can read and write.
    const encodes = job.target.encodes && passphraseFile === undefined
    const route = routeOf({ ...job, target: { ...job.target, encodes } }, judged, { inFile: true })
    const question = { imageId: job.imageId, path, format, judgedBytes, signal: job.call.signal }
    const { volumeSizeGiB } = job.request
    const virtualSizeBytes = route.asksQemuImg
      ? (await crossCheck(services, { ...question, volumeSizeGiB })).virtualSize
      : judged.sizeBytes
    const disk = { path, chain, format, virtualSizeBytes }
    const bytesWritten = await writeDisk(services, { ...job, route }, disk, cleanup)
    return { bytesWritten, virtualSizeBytes }
  } catch (error) {
    throw withImageId(job.imageId, error)
  }
}
