import { ImageError, ImageUnacceptableError, type Refusal } from '@disk-image/core'
import { createInspector, type InspectionResult } from '@disk-image/format-policy/inspector'
import { checkConversionAllowed } from '@disk-image/format-policy'
import { planChecksums, planHash } from '@disk-image/io'
import { blockDeviceSize, freeSpace, isBlockDevice } from '@disk-image/host'
import { type OvfDisk, Unwrapper } from '@disk-image/disk'
import { DiskChoice, expectedOf, openToolEnvelope } from './unwrap.ts'
import type { Services } from '../services/services.ts'
import { headBytes, layoutOf } from '../route/formats.ts'
import { checkQemuImg, withImageId } from '../judge/ask-qemu-img.ts'
import { checkCompression, checkRawFits, isOfService, type Job, layoutOfHead, routeOf } from './job.ts'
import { withOpenedSource } from '../sources/open-source.ts'
import { checkInspection } from './check-inspection.ts'
import { prepareVolumes } from './image-to-volume.ts'
import type { ArchiveToVolumesRequest, ImageToVolumeRequest } from './request.ts'

/** What a transfer would do, and what it would need. */
export interface ImageToVolumePlan {
  readonly imageId: string
  readonly volume: string
  /** The disk of an OVA that the volume takes, by its file; undefined where no descriptor tells. */
  readonly disk: string | undefined
  /** The format that the head shows; undefined where it could not be read. */
  readonly format: string | undefined
  readonly volumeFormat: string
  /** In order, each a sentence. */
  readonly steps: readonly string[]
  /** Whether qemu-img reads or writes any of it. */
  readonly needsQemuImg: boolean
  /** Bytes in the conversion folder, at most; of what is compressed, as many as are stored. */
  readonly temporaryBytes: number
  /** Bytes on the volume, at most; undefined where the size of the disk inside is not known yet. */
  readonly volumeBytes: number | undefined
  readonly freeTemporaryBytes: number
  /** What the device holds, or is free where the file lies. Holes of a file take nothing of it. */
  readonly freeVolumeBytes: number
  /** What would be refused; empty where nothing found so far speaks against it. */
  readonly refusals: readonly Refusal[]
}

/**
 * Says what `imageToVolume` would do with the same request, from the image's record and its first MiB. Writes
 * nothing.
 */
export function planImageToVolume(
  services: Services,
  request: ImageToVolumeRequest,
): Promise<ImageToVolumePlan> {
  const { disk, volume, volumeSizeGiB } = request
  return planVolumes(services, request, [{ disk, volume, volumeSizeGiB }]).then(([plan]) => {
    if (plan === undefined) throw new Error('nothing was planned')
    return plan
  })
}

/** The same of `archiveToVolumes`: a plan for each volume. Of disks behind the first MiB the descriptor tells. */
export function planArchiveToVolumes(
  services: Services,
  { volumes, ...request }: ArchiveToVolumesRequest,
): Promise<ImageToVolumePlan[]> {
  return planVolumes(services, request, volumes)
}

function planVolumes(
  services: Services,
  request: Omit<ImageToVolumeRequest, 'volume'>,
  volumes: ArchiveToVolumesRequest['volumes'],
): Promise<ImageToVolumePlan[]> {
  return withOpenedSource(services, request, async (opened) => {
    const jobs = await prepareVolumes(services, opened, volumes, 'plan')
    const refused: Refusal[] = []
    const looked = await lookAtHeads(services, jobs).catch((error: unknown) => {
      if (!(error instanceof ImageUnacceptableError)) throw error
      refused.push(toRefusal(error))
      return []
    })
    return Promise.all(jobs.map((job, index) => plan(services, job, looked[index], [...refused])))
  })
}

async function plan(
  services: Services,
  job: Job,
  looked: LookedAt | undefined,
  refusals: Refusal[],
): Promise<ImageToVolumePlan> {
  const { request } = job
  const head = looked?.head?.inspection
  const layout =
    looked?.head === undefined
      ? layoutOf(job.claimedFormat)
      : layoutOfHead(job, looked.head.inspection, looked.head.bytes)
  const route = routeOf(job, layout)
  const checks: readonly (() => unknown)[] = [
    () =>
      checkConversionAllowed(job.record.disk_format, request.volumeFormat ?? 'raw', job.imageId, {
        disabled: services.options.imageConversionDisable,
      }),
    () => isOfService(job.request) && checkCompression(services, job.record),
    () => checkRawFits(job),
    () => planChecksums(request.checksums ?? []),
    () => {
      const isGiven = (request.checksums ?? []).length > 0 || (job.stored.promises ?? []).length > 0
      planHash(
        job.record,
        request.verify === 'strict' && isGiven ? 'fallback' : (request.verify ?? 'fallback'),
      )
    },
    () => route.needsQemuImg && checkQemuImg(services, request.signal),
    () => head && checkInspection(services, job, head, head.complete ? 'whole' : 'head'),
  ]
  for (const check of checks) {
    try {
      await check()
    } catch (error) {
      refusals.push(toRefusal(withImageId(job.imageId, error)))
    }
  }
  const { temporaryBytes } = route
  const { size } = job.record
  const isStored = job.claimedFormat === 'raw' && job.container === 'none'
  const described = looked?.described
  const volumeBytes =
    head?.virtualSizeBytes ?? described?.capacityBytes ?? (isStored ? (size ?? undefined) : undefined)
  const freeTemporaryBytes = await freeSpace(services.temporaryFiles.directory)
  if (temporaryBytes > 0 && temporaryBytes >= freeTemporaryBytes) {
    refusals.push({
      rule: 'temporary-space',
      reason: `There is no space on ${services.temporaryFiles.directory} for the download.`,
      found: `${freeTemporaryBytes} bytes free`,
      accepted: `more than ${temporaryBytes} bytes`,
    })
  }
  const device = await isBlockDevice(request.volume)
  const freeVolumeBytes = device ? await blockDeviceSize(request.volume) : await freeSpace(request.volume)
  if (device && volumeBytes !== undefined && volumeBytes > freeVolumeBytes) {
    refusals.push({
      rule: 'volume-space',
      reason: `The disk does not fit on ${request.volume}.`,
      found: `a device of ${freeVolumeBytes} bytes`,
      accepted: `at least ${volumeBytes} bytes`,
    })
  }
  return {
    imageId: job.imageId,
    volume: request.volume,
    disk: described?.file,
    format: head?.format,
    volumeFormat: request.volumeFormat ?? 'raw',
    steps: route.steps.map(({ sentence }) => sentence),
    needsQemuImg: route.needsQemuImg,
    temporaryBytes,
    volumeBytes,
    freeTemporaryBytes,
    freeVolumeBytes,
    refusals,
  }
}

/** What the first MiB of an image shows of one of its disks. */
interface LookedAt {
  readonly head: { readonly inspection: InspectionResult; readonly bytes: Uint8Array } | undefined
  readonly described?: OvfDisk | undefined
}

/** @throws {ImageUnacceptableError} where what is compressed is an archive that is no disk */
async function lookAtHeads(
  services: Services,
  jobs: readonly Job[],
): Promise<readonly (LookedAt | undefined)[]> {
  const [job] = jobs
  if (job?.stored.readRange === undefined || job.container === 'xenserver') return []
  const stored = await job.stored.readRange(0, headBytes, job.call)
  if (job.container === 'none') return [{ head: lookAt(stored, stored.length < headBytes) }]
  const { heads, described } = await unpackHeads(services, stored, jobs)
  return heads.map((head, index) => {
    const isWhole = stored.length < headBytes && head.length <= headBytes
    // Of a disk of which nothing came its head says nothing, either.
    const isThere = head.length > 0 || jobs.length === 1
    return { head: isThere ? lookAt(head, isWhole) : undefined, described: described[index] }
  })
}

function lookAt(unpacked: Uint8Array, isWhole: boolean): LookedAt['head'] {
  const inspector = createInspector()
  const bytes = unpacked.subarray(0, headBytes)
  inspector.write(bytes)
  const inspection = isWhole ? inspector.end() : inspector.headVerdict()
  return inspection === undefined ? undefined : { inspection, bytes }
}

/**
 * The first MiB, and one byte more where there is more, that the first bytes of an image unpack to, for each job; nothing
 * where they are none. No more is unpacked than is asked for: a MiB of it can be a GiB.
 */
async function unpackHeads(
  services: Services,
  stored: Uint8Array,
  jobs: readonly Job[],
): Promise<{ readonly heads: readonly Uint8Array[]; readonly described: readonly OvfDisk[] }> {
  const { imageId = '', container = 'compressed' } = jobs[0] ?? {}
  const heads = jobs.map(() => new HeadSink())
  const choice = new DiskChoice(
    imageId,
    jobs.map(({ request: { disk } }, index) => ({ disk, sink: heads[index] ?? new HeadSink() })),
  )
  const unwrapper: Unwrapper = new Unwrapper({
    imageId,
    expected: expectedOf(container),
    maxBytes: Number.MAX_SAFE_INTEGER,
    open: (image) => choice.open(image, unwrapper.ovf),
    openWithTool: (name, sink) => openToolEnvelope(services.runner, name, sink, { imageId }),
  })
  // Whatever comes before a damage, or before the end of what was asked for, is looked at.
  try {
    await unwrapper.write(stored.subarray(0, headBytes))
    // Of a part the end is missing, which says nothing.
    if (stored.length < headBytes) await unwrapper.end()
    else await unwrapper.end().catch(() => undefined)
  } catch (error) {
    if (error instanceof ImageUnacceptableError) throw error
  } finally {
    await unwrapper.close()
  }
  const described = unwrapper.ovf === undefined ? [] : choice.assign(unwrapper.ovf)
  return { heads: heads.map((head) => head.bytes), described }
}

/** Takes one byte more than the first MiB, and then no more. */
class HeadSink {
  readonly #taken = new Uint8Array(headBytes + 1)
  #filled = 0

  get bytes(): Uint8Array {
    return this.#taken.subarray(0, this.#filled)
  }

  write(bytes: Uint8Array): void {
    const part = bytes.subarray(0, this.#taken.length - this.#filled)
    this.#taken.set(part, this.#filled)
    this.#filled += part.length
    if (this.#filled === this.#taken.length) throw new RangeError('enough was unpacked')
  }
}

function toRefusal(error: unknown): Refusal {
  if (!ImageError.is(error)) throw error
  const { rule, reason, found, offset, accepted, reference } = error as ImageError & Partial<Refusal>
  return {
    rule: rule ?? error.code.toLowerCase().replaceAll('_', '-'),
    reason: reason ?? error.message,
    found,
    offset,
    accepted,
    reference,
  }
}
