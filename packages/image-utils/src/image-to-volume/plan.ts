import { ImageError, ImageUnacceptableError, type Refusal } from '@disk-image/core'
import { createInspector, type InspectionResult } from '@disk-image/format-policy/inspector'
import { checkConversionAllowed } from '@disk-image/format-policy'
import { planChecksums, planHash } from '@disk-image/io'
import { blockDeviceSize, freeSpace, isBlockDevice } from '@disk-image/host'
import { Unwrapper } from '@disk-image/disk'
import { DiskChoice, expectedOf, openToolEnvelope } from './unwrap.ts'
import type { Services } from '../services/services.ts'
import { headBytes, layoutOf } from '../route/formats.ts'
import { checkQemuImg, withImageId } from '../judge/ask-qemu-img.ts'
import {
  checkCompression,
  checkRawFits,
  isOfService,
  type Job,
  layoutOfHead,
  type OpenedRequest,
  prepareJob,
  routeOf,
} from './job.ts'
import { withOpenedSource } from '../sources/open-source.ts'
import { checkInspection } from './check-inspection.ts'
import type { ImageToVolumeRequest } from './request.ts'

/** What a transfer would do, and what it would need. */
export interface ImageToVolumePlan {
  readonly imageId: string
  readonly volume: string
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
  return withOpenedSource(services, request, (opened) => plan(services, opened))
}

async function plan(services: Services, request: OpenedRequest): Promise<ImageToVolumePlan> {
  const refusals: Refusal[] = []
  const job = await prepareJob(services, request, 'plan')
  const looked = await lookAtHead(services, job).catch((error: unknown) => {
    if (!(error instanceof ImageUnacceptableError)) throw error
    refusals.push(toRefusal(error))
    return undefined
  })
  const head = looked?.inspection
  const layout =
    looked === undefined ? layoutOf(job.claimedFormat) : layoutOfHead(job, looked.inspection, looked.bytes)
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
  const volumeBytes = head?.virtualSizeBytes ?? (isStored ? (size ?? undefined) : undefined)
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

/** @throws {ImageUnacceptableError} where what is compressed is an archive that is no disk */
async function lookAtHead(
  services: Services,
  job: Job,
): Promise<{ readonly inspection: InspectionResult; readonly bytes: Uint8Array } | undefined> {
  if (job.stored.readRange === undefined || job.container === 'xenserver') return undefined
  const stored = await job.stored.readRange(0, headBytes, job.call)
  const unpacked = job.container !== 'none' ? await unpackHead(services, stored, job) : stored
  const whole = stored.length < headBytes && unpacked.length <= headBytes
  const inspector = createInspector()
  const bytes = unpacked.subarray(0, headBytes)
  inspector.write(bytes)
  const inspection = whole ? inspector.end() : inspector.headVerdict()
  return inspection === undefined ? undefined : { inspection, bytes }
}

/**
 * The first MiB, and one byte more where there is more, that the first bytes of a compressed image unpack to; nothing where
 * they are none. No more is unpacked than is asked for: a MiB of it can be a GiB.
 */
async function unpackHead(services: Services, stored: Uint8Array, job: Job): Promise<Uint8Array> {
  const { imageId, request } = job
  const unpacked = new Uint8Array(headBytes + 1)
  let filled = 0
  const write = (bytes: Uint8Array): void => {
    const part = bytes.subarray(0, unpacked.length - filled)
    unpacked.set(part, filled)
    filled += part.length
    if (filled === unpacked.length) throw new RangeError('enough was unpacked')
  }
  const choice = new DiskChoice(imageId, [{ disk: request.disk, sink: { write } }])
  const unwrapper: Unwrapper = new Unwrapper({
    imageId,
    expected: expectedOf(job.container),
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
  return unpacked.subarray(0, filled)
}

function toRefusal(error: unknown): Refusal {
  if (!ImageError.is(error)) throw error
  const { rule, found, offset, accepted, reference } = error as ImageError & Partial<Refusal>
  return {
    rule: rule ?? error.code.toLowerCase().replaceAll('_', '-'),
    reason: error.message,
    found,
    offset,
    accepted,
    reference,
  }
}
