import { type DownloadReport, MiB, type OverlappedSink, type Refusal, toQemuFormat } from '@disk-image/core'
import { createInspector, type InspectionResult } from '@disk-image/format-policy/inspector'
import { Unwrapper } from '@disk-image/disk'
import { openVolume, type Volume } from '@disk-image/host'
import type { Cleanup } from '../cleanup.ts'
import type { Toolbox } from '../dependencies.ts'
import { checkAvailableSpace } from '../operations/available-space.ts'
import { driverOf, layoutOf } from '../formats.ts'
import type { Route } from '../route.ts'
import { IntakeSink } from '../sinks/intake-sink.ts'
import { SparseSink } from '../sinks/sparse-sink.ts'
import { checkFits, type Job, routeOf } from './job.ts'
import { checkInspection } from './judge.ts'
import { downloadInto } from './download-into.ts'
import { checkQemuImg } from './needs-qemu-img.ts'
import { OverlappedDecode } from './overlapped-decode.ts'
import { oneImage, openToolEnvelope } from './unwrap.ts'
import { rateLimiterOf, volumeOptions } from './write-volume.ts'

/** An image that has arrived whole, inspected and judged. */
export interface Received {
  readonly inspection: InspectionResult
  /** In qemu-img's terms. */
  readonly format: string
  /** Bytes of the disk, where that is known better than from the inspection. */
  readonly virtualSizeBytes?: number | undefined
  /** Bytes of the image, after decoding of a compressed container. */
  readonly bytes: number
  /** Its first bytes, where they were kept. */
  readonly head?: Uint8Array | undefined
  /** Absent where the image came from a file that was there already. */
  readonly report: DownloadReport | undefined
  readonly signatureVerified: boolean
  /** What could not be verified. */
  readonly warnings: readonly Refusal[]
  readonly result: Streamed | InFile
}

/** The bytes are on the volume already. */
export interface Streamed {
  readonly kind: 'on-volume'
  readonly bytesWritten: number
  readonly virtualSizeBytes: number
}

/** The bytes are in a file, untouched. */
export interface InFile {
  readonly kind: 'in-file'
  readonly path: string
  /** A chain of VHDs instead, leaf first. */
  readonly chain?: readonly string[] | undefined
}

/**
 * Downloads the image, inspecting it as it comes: straight onto the volume, decoded onto it, or into a temporary file,
 * as its route says. What is on the volume when this resolves is verified; when it rejects, the cleanup's failure tasks
 * take back what was written.
 *
 * @param expected the route that the image's record makes likely
 */
export async function receiveImage(
  toolbox: Toolbox,
  job: Job,
  expected: Route,
  cleanup: Cleanup,
): Promise<Received> {
  // What needs a temporary file has it made while the service is still being asked for the data.
  const file = expected.kind === 'stream' ? undefined : openTemporaryFile(toolbox, job, cleanup)
  file?.catch(() => undefined)
  try {
    return await receiveInto(toolbox, job, cleanup, (route, head) =>
      chooseTarget(toolbox, job, cleanup, route, head, file),
    )
  } finally {
    // Nothing may be made behind the cleanup's back.
    await file?.catch(() => undefined)
  }
}

async function receiveInto(
  toolbox: Toolbox,
  job: Job,
  cleanup: Cleanup,
  choose: (route: Route, head: InspectionResult) => Promise<Target>,
): Promise<Received> {
  const inspector = createInspector()
  let finish: (inspection: InspectionResult) => Promise<Streamed | InFile>
  let first: Uint8Array | undefined
  const intake = new IntakeSink(inspector, async (head, bytes) => {
    checkInspection(toolbox, job, head, 'head')
    first = bytes
    const route = routeOf(job, layoutOf(job.claimedFormat, head, bytes))
    if (route.needsQemuImg) await checkQemuImg(toolbox, job.call.signal)
    const chosen = await choose(route, head)
    finish = (inspection) => chosen.finish(inspection)
    return chosen.sink
  })
  const unwrapper = job.container === 'gzip' ? openUnwrapper(toolbox, job, intake) : undefined
  if (unwrapper !== undefined) cleanup.always(() => unwrapper.close())
  const downloaded = await downloadInto(toolbox, job, unwrapper ?? intake)
  await unwrapper?.end()
  const inspection = await intake.end()
  checkInspection(toolbox, job, inspection, 'whole')
  const format = toQemuFormat(driverOf(inspection))
  const result = await finish!(inspection)
  return { ...downloaded, inspection, format, bytes: intake.bytes, head: first, result }
}

function openUnwrapper(toolbox: Toolbox, job: Job, intake: IntakeSink): Unwrapper {
  const { imageId } = job
  return new Unwrapper({
    imageId,
    expected: 'compressed',
    maxBytes: mostBytesInside(job),
    open: oneImage(imageId, { write: (chunk) => intake.write(chunk) }),
    openWithTool: (name, sink) =>
      openToolEnvelope(toolbox.runner, name, sink, { imageId, signal: job.call.signal }),
    onTrailer: ({ kind, offset, bytes }) =>
      toolbox.logger.warn('Bytes after the compressed data were left out', { imageId, kind, offset, bytes }),
  })
}

interface Target {
  readonly sink: OverlappedSink
  /** Completes what the sink began; called when everything is verified and judged. */
  finish(inspection: InspectionResult): Promise<Streamed | InFile>
}

async function chooseTarget(
  toolbox: Toolbox,
  job: Job,
  cleanup: Cleanup,
  route: Route,
  head: InspectionResult,
  opening: Promise<TemporaryFile> | undefined,
): Promise<Target> {
  if (route.kind === 'stream') return streamToVolume(toolbox, job, cleanup)
  const decode = route.kind === 'decode'
  // Who reads behind the writer must find every byte that was announced: no hole may stand for the last ones.
  const file = intoFile(await (opening ?? openTemporaryFile(toolbox, job, cleanup)), { sparse: !decode })
  return decode ? OverlappedDecode.begin(toolbox, job, cleanup, file, head) : file
}

/** Raw bytes, straight onto the volume. */
async function streamToVolume(toolbox: Toolbox, job: Job, cleanup: Cleanup): Promise<Target> {
  const volume = await openVolume(job.request.volume, {
    // The size of what is compressed says nothing of the disk.
    sizeBytes: job.container === 'none' ? (job.record.size ?? undefined) : undefined,
    ...volumeOptions(toolbox, job),
  })
  cleanup.always(() => volume.close())
  const sink = new SparseSink(volume, {
    sparse: job.request.disableSparse !== true,
    rateLimiter: rateLimiterOf(job),
  })
  const writeAt = async (chunk: Uint8Array, offset: number): Promise<void> => {
    checkFits(offset + chunk.length, job.request.volumeSizeGiB, job.imageId)
    await sink.writeAt(chunk, offset)
  }
  return {
    sink: { write: (chunk) => writeAt(chunk, sink.offset), writeAt },
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

/** A target that keeps the bytes in a temporary file. */
export interface FileTarget extends Target {
  readonly path: string
  /** Puts bytes at a place of their own. */
  keep(chunk: Uint8Array, offset: number): Promise<void>
}

interface TemporaryFile {
  readonly path: string
  readonly volume: Volume
}

async function openTemporaryFile(toolbox: Toolbox, job: Job, cleanup: Cleanup): Promise<TemporaryFile> {
  const { record } = job
  const { temporaryFiles } = toolbox
  const temporary = await temporaryFiles.file({ prefix: `image_download_${job.imageId}_` })
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

function intoFile({ path, volume }: TemporaryFile, options: { readonly sparse: boolean }): FileTarget {
  const sink = new SparseSink(volume, options)
  return {
    path,
    keep: (chunk, offset) => volume.write(chunk, offset),
    sink,
    finish: async () => {
      await volume.commit(sink.offset)
      return { kind: 'in-file', path }
    },
  }
}

/**
 * A compressed raw image may decode to the volume's size, any other format to a little more than that.
 * Without a volume size, deflate's own limit of about 1032 : 1 holds, for the holes of a sparse file too.
 */
function mostBytesInside(job: Job): number {
  const { volumeSizeGiB } = job.request
  const volumeBytes =
    volumeSizeGiB === undefined
      ? 1100 * (job.record.size ?? Number.MAX_SAFE_INTEGER / 2000) + 64 * MiB
      : volumeSizeGiB * 1024 * MiB
  return job.claimedFormat === 'raw' ? volumeBytes : volumeBytes * 1.1 + 64 * MiB
}
