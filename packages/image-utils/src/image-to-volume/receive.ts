import { type DownloadReport, MiB, type Refusal, toQemuFormat } from '@disk-image/core'
import { createInspector, inspect, type InspectionResult } from '@disk-image/format-policy/inspector'
import { openVolume } from '@disk-image/host'
import { SparseSink } from '@disk-image/io'
import { Unwrapper, type UnwrapperOptions } from '@disk-image/disk'
import type { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { checkAvailableSpace } from '../judge/space.ts'
import { withFileReader } from '../files/file-reader.ts'
import { driverOf, headBytes, type RouteLayout } from '../route/formats.ts'
import type { Route } from '../route/route.ts'
import { InspectingSink } from './inspecting-sink.ts'
import { prepareUnfinished, tellingReached, type Unfinished } from './kept-part.ts'
import { fileNamePart, type Job, layoutOfHead, routeOf } from './job.ts'
import { checkInspection } from './check-inspection.ts'
import { type Downloaded, downloadInto } from './download-into.ts'
import { checkQemuImg } from '../judge/ask-qemu-img.ts'
import {
  type Arrival,
  decodeOntoVolume,
  type InFile,
  sinkOnto,
  type SpoolFile,
  type Streamed,
} from './decode-onto-volume.ts'
import { DiskChoice, expectedOf, openToolEnvelope, type Unwrapped } from './unwrap.ts'
import { openTarget } from '../write/open-target.ts'
import { volumeOptions } from '../write/write-disk.ts'

/** An image that has arrived whole, inspected and judged. */
export interface Received {
  readonly inspection: InspectionResult
  /** In qemu-img's terms. */
  readonly format: string
  /** Bytes of the disk, where that is known better than from the inspection. */
  readonly virtualSizeBytes?: number | undefined
  /** Bytes of the image, without its envelopes. */
  readonly bytes: number
  /** Its first bytes, where they were kept. */
  readonly head?: Uint8Array | undefined
  /** Absent where the image came from a file that was there already. */
  readonly report: DownloadReport | undefined
  readonly resumedBytes?: number | undefined
  readonly signatureVerified: boolean
  /** What could not be verified. */
  readonly warnings: readonly Refusal[]
  readonly result: Streamed | InFile
  /** Absent where it was in no envelope. */
  readonly unwrapped?: Unwrapped | undefined
}

/**
 * Downloads the image, inspecting it as it comes: straight onto the volume, decoded onto it, or into a temporary file,
 * as its route says. What is on the volume when this resolves is verified; when it rejects, the cleanup's failure tasks
 * take back what was written.
 *
 * @param expected the route that the image's record makes likely
 */
export async function receiveImage(
  services: Services,
  job: Job,
  expected: Route,
  cleanup: Cleanup,
): Promise<Received> {
  // What needs a temporary file has it made while the service is still being asked for the data. A VHD may need none.
  const mayNeedNone =
    expected.kind === 'stream' ||
    (expected.kind === 'decode' && (job.claimedFormat === 'vpc' || job.request.decrypt === true))
  const file = mayNeedNone ? undefined : openSpool(services, job, cleanup)
  file?.catch(() => undefined)
  try {
    const unfinished = await prepareUnfinished(job, cleanup)
    const open = (known: Known): Promise<Arrival> =>
      openArrival(services, job, cleanup, { ...known, file, unfinished })
    return await receiveInto(services, job, cleanup, open, unfinished)
  } finally {
    // Nothing may be made behind the cleanup's back.
    await file?.catch(() => undefined)
  }
}

/** An image that was downloaded before: the path that `TemporaryImages` holds for this user. */
export async function receiveHeldImage(services: Services, job: Job, path: string): Promise<Received> {
  return withFileReader(path, async (reader) => {
    const inspection = await inspect(reader)
    checkInspection(services, job, inspection, 'whole')
    return {
      inspection,
      format: toQemuFormat(driverOf(inspection)),
      bytes: reader.size,
      head: await reader.read(0, headBytes),
      report: undefined,
      signatureVerified: false,
      warnings: [],
      result: { kind: 'in-file', path },
    }
  })
}

async function receiveInto(
  services: Services,
  job: Job,
  cleanup: Cleanup,
  open: (known: Known) => Promise<Arrival>,
  unfinished: Unfinished | undefined,
): Promise<Received> {
  if (job.container !== 'none') {
    const [received] = await receiveUnwrapped(services, [job], cleanup, () => open)
    if (received === undefined) throw new Error('nothing was received')
    return received
  }
  const disk = new IncomingDisk(services, job, open)
  const downloaded = await downloadInto(services, job, disk.sink, unfinished)
  await disk.judge()
  return { ...downloaded, ...(await disk.finish()) }
}

/**
 * Takes the disks of an archive, or the image that is compressed, each onto the volume of its job, in one pass. Nothing
 * is completed before all of it is verified.
 */
export async function receiveUnwrapped(
  services: Services,
  jobs: readonly Job[],
  cleanup: Cleanup,
  open: (job: Job) => (known: Known) => Promise<Arrival> = (job) => (known) =>
    openArrival(services, job, cleanup, known),
): Promise<Received[]> {
  const [first] = jobs
  if (first === undefined) return []
  const disks = jobs.map((job) => {
    const disk = new IncomingDisk(services, job, open(job))
    return {
      disk,
      wish: { disk: job.request.disk, sink: { write: (chunk: Uint8Array) => disk.sink.write(chunk) } },
    }
  })
  const choice = new DiskChoice(
    first.imageId,
    disks.map(({ wish }) => wish),
  )
  const unwrapper: Unwrapper = new Unwrapper({
    ...unwrapperOptions(services, first),
    expected: expectedOf(first.container),
    open: (image) => choice.open(image, unwrapper.ovf),
  })
  cleanup.always(() => unwrapper.close())
  const downloaded = await downloadInto(services, first, unwrapper)
  await unwrapper.end()
  choice.end()
  const { opened, ovf: machine, hasManifest } = unwrapper
  for (const { disk } of disks) await disk.judge()
  const received: Received[] = []
  for (const { disk, wish } of disks) {
    const unwrapped = { opened, disk: choice.memberOf(wish) || undefined, machine, hasManifest }
    received.push({ ...downloaded, ...(await disk.finish()), unwrapped })
  }
  return received
}

/** A disk on its way: inspected while it comes, judged by its head and as a whole, put where its route says. */
class IncomingDisk {
  readonly #services: Services
  readonly #job: Job
  readonly sink: InspectingSink
  #arrival: Arrival | undefined
  #head: Uint8Array | undefined
  #inspection: InspectionResult | undefined

  constructor(services: Services, job: Job, open: (known: Known) => Promise<Arrival>) {
    this.#services = services
    this.#job = job
    // Of bytes that must be no format there is no more to be seen.
    const isRaw = job.claimedFormat === 'raw' && job.request.decrypt !== true
    const bytesToJudge = isRaw ? 0 : headBytes
    this.sink = new InspectingSink(createInspector(), bytesToJudge, async (head, bytes) => {
      checkInspection(services, job, head, 'head')
      this.#head = bytes
      const layout = layoutOfHead(job, head, bytes)
      const route = routeOf(job, layout)
      job.follow?.(route)
      if (route.needsQemuImg) await checkQemuImg(services, job.call.signal)
      this.#arrival = await open({ route, layout, head })
      return this.#arrival.sink
    })
  }

  /** Judges it as a whole, when all of it has come. */
  async judge(): Promise<void> {
    this.#inspection = await this.sink.end()
    checkInspection(this.#services, this.#job, this.#inspection, 'whole')
  }

  /** Completes what was begun, when everything is verified. */
  async finish(): Promise<Omit<Received, keyof Downloaded>> {
    const [arrival, inspection] = [this.#arrival, this.#inspection]
    if (arrival === undefined || inspection === undefined) throw new Error('the disk has not been judged')
    const format = toQemuFormat(driverOf(inspection))
    const result = await arrival.finish(inspection)
    return { inspection, format, bytes: this.sink.bytes, head: this.#head, result }
  }
}

/** What is known of an image when its envelopes are opened. */
type WrappedJob = Pick<Job, 'imageId' | 'container' | 'claimedFormat'> & {
  readonly record: Pick<Job['record'], 'size'>
  readonly request: Pick<Job['request'], 'volumeSizeGiB'>
  readonly call: Pick<Job['call'], 'signal'>
}

/** What every envelope of an image is opened with. */
export function unwrapperOptions(
  services: Services,
  job: WrappedJob,
): Pick<UnwrapperOptions, 'imageId' | 'maxBytes' | 'maxRatio' | 'openWithTool' | 'onTrailer'> {
  const { imageId } = job
  return {
    imageId,
    ...boundsInside(job),
    openWithTool: (name, sink) =>
      openToolEnvelope(services.runner, name, sink, { imageId, signal: job.call.signal }),
    onTrailer: ({ kind, offset, bytes }) =>
      services.logger.warn('Bytes after the compressed data were left out', { imageId, kind, offset, bytes }),
  }
}

/** What the head of an image shows. */
export interface Known {
  readonly route: Route
  readonly layout: RouteLayout
  readonly head: InspectionResult
}

async function openArrival(
  services: Services,
  job: Job,
  cleanup: Cleanup,
  {
    route,
    layout,
    head,
    file,
    unfinished,
  }: Known & {
    readonly file?: Promise<SpoolFile> | undefined
    readonly unfinished?: Unfinished | undefined
  },
): Promise<Arrival> {
  if (route.kind === 'stream') return streamToVolume(services, job, cleanup, unfinished)
  const plan = route.kind === 'decode' ? layout.stream : undefined
  const spool = plan?.spools === false ? undefined : await (file ?? openSpool(services, job, cleanup))
  if (plan !== undefined) return decodeOntoVolume(services, job, cleanup, { spool, plan, judged: head })
  return intoFile(spool ?? (await openSpool(services, job, cleanup)))
}

/** Raw bytes, straight onto the volume. */
async function streamToVolume(
  services: Services,
  job: Job,
  cleanup: Cleanup,
  unfinished: Unfinished | undefined,
): Promise<Arrival> {
  const volume = await openTarget(job.request.target, job.request.volume, {
    // The size of what is compressed says nothing of the disk.
    sizeBytes: job.container === 'none' ? (job.record.size ?? undefined) : undefined,
    ...volumeOptions(services, job),
    partial: unfinished,
  })
  cleanup.always(() => volume.close())
  const sink = sinkOnto(job, volume)
  return {
    sink: unfinished === undefined ? sink : tellingReached(sink, volume),
    finish: async () => {
      // A disk consists of whole sectors: an odd end is filled up with zeroes, as qemu-img does.
      const virtualSizeBytes = Math.ceil(sink.offset / 512) * 512
      await volume.commit(virtualSizeBytes)
      // Before all is said to be well: on a network file system closing can fail for what was written.
      await volume.close()
      return { kind: 'on-volume', bytesWritten: sink.written, virtualSizeBytes }
    },
  }
}

async function openSpool(services: Services, job: Job, cleanup: Cleanup): Promise<SpoolFile> {
  const { record } = job
  const { temporaryFiles } = services
  const temporary = await temporaryFiles.file({ prefix: `image_download_${fileNamePart(job.imageId)}_` })
  cleanup.always(() => temporary[Symbol.asyncDispose]())
  const opening = openVolume(temporary.path, { imageId: job.imageId, temporary: true })
  cleanup.always(async () => (await opening.catch(() => undefined))?.close())
  const [volume] = await Promise.all([
    opening,
    typeof record.size === 'number' &&
      checkAvailableSpace(temporaryFiles.directory, record.size, job.imageId),
  ])
  return { path: temporary.path, volume }
}

function intoFile({ path, volume }: SpoolFile): Arrival {
  const sink = new SparseSink(volume, { sparse: true })
  return {
    sink,
    finish: async () => {
      await volume.commit(sink.offset)
      return { kind: 'in-file', path }
    },
  }
}

/**
 * A compressed raw image may decode to the volume's size, any other format to a little more than that.
 * Without a volume size, deflate's own limit of about 1032 : 1 holds, for the holes of a sparse file too: of the whole
 * where its length is known, else of what has come so far.
 */
function boundsInside({
  container,
  request,
  record,
  claimedFormat,
}: WrappedJob): Pick<UnwrapperOptions, 'maxBytes' | 'maxRatio'> {
  // What an archive holds is stored as it is; the volume's size is that of a disk inside of it.
  const volumeSizeGiB = container === 'archive' ? undefined : request.volumeSizeGiB
  const knownBytes =
    volumeSizeGiB === undefined
      ? record.size && mostRatio * record.size + 64 * MiB
      : volumeSizeGiB * 1024 * MiB
  if (typeof knownBytes !== 'number') return { maxBytes: Number.MAX_SAFE_INTEGER / 2, maxRatio: mostRatio }
  return { maxBytes: claimedFormat === 'raw' ? knownBytes : knownBytes * 1.1 + 64 * MiB }
}

const mostRatio = 1100
