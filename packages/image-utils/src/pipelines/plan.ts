import path from 'node:path'
import { ImageError, MiB, type Refusal } from '@disk-image/core'
import { createInspector, type InspectionResult } from '@disk-image/format-policy/inspector'
import { checkConversionAllowed } from '@disk-image/format-policy'
import { freeSpace } from '@disk-image/host'
import type { Toolbox } from '../dependencies.ts'
import { type Job, prepareJob } from './job.ts'
import { checkInspection } from './judge.ts'
import type { ImageToVolumeRequest } from './request.ts'

/** What a transfer would do, and what it would need. */
export interface ImageToVolumePlan {
  readonly imageId: string
  readonly destination: string
  /** The format that the head shows; undefined where it could not be read. */
  readonly format: string | undefined
  readonly volumeFormat: string
  /** In order, each a sentence. */
  readonly steps: readonly string[]
  /** Bytes in the conversion folder, at most. */
  readonly temporaryBytes: number
  /** Bytes on the volume, at most; undefined where the size of the disk inside is not known yet. */
  readonly volumeBytes: number | undefined
  readonly freeTemporaryBytes: number
  /** What would be refused; empty where nothing found so far speaks against it. */
  readonly refusals: readonly Refusal[]
}

/** Bytes of the image that are looked at. */
const headBytes = MiB

/**
 * Says what `imageToVolume` would do with the same request, from the image's record and its first MiB. Writes
 * nothing.
 */
export async function planImageToVolume(
  toolbox: Toolbox,
  request: ImageToVolumeRequest,
): Promise<ImageToVolumePlan> {
  const refusals: Refusal[] = []
  const job = await prepareJob(toolbox, request, 'plan')
  const head = await lookAtHead(job)
  for (const check of [
    () =>
      checkConversionAllowed(job.record.disk_format, request.volumeFormat ?? 'raw', job.imageId, {
        disabled: toolbox.options.imageConversionDisable,
      }),
    () => head && checkInspection(toolbox, job, head, head.complete ? 'whole' : 'head'),
  ]) {
    try {
      check()
    } catch (error) {
      refusals.push(toRefusal(error))
    }
  }
  const size = job.record.size ?? 0
  const inPass = job.volumeFormat === 'raw' && !job.strict && !job.throughTool && job.wrapping !== 'xenserver'
  const streamed = inPass && job.claimedFormat === 'raw'
  const temporaryBytes = streamed ? 0 : size
  const folder = await existingFolder(toolbox.temporaryFiles.directory)
  const freeTemporaryBytes = await freeSpace(folder)
  if (temporaryBytes >= freeTemporaryBytes) {
    refusals.push({
      rule: 'temporary-space',
      reason: `There is no space on ${toolbox.temporaryFiles.directory} for the download.`,
      found: `${freeTemporaryBytes} bytes free`,
      accepted: `more than ${temporaryBytes} bytes`,
    })
  }
  return {
    imageId: job.imageId,
    destination: request.volume,
    format: head?.format,
    volumeFormat: request.volumeFormat ?? 'raw',
    steps: describeSteps(job, head, streamed, inPass),
    temporaryBytes,
    volumeBytes: head?.virtualSizeBytes ?? (streamed ? size : undefined),
    freeTemporaryBytes,
    refusals,
  }
}

async function lookAtHead(job: Job): Promise<InspectionResult | undefined> {
  if (job.imageService.readRange === undefined || job.wrapping !== 'none') return undefined
  const head = await job.imageService.readRange(job.context, job.imageId, 0, headBytes, job.call)
  const inspector = createInspector()
  inspector.write(head)
  return head.length < headBytes ? inspector.end() : inspector.headVerdict()
}

function describeSteps(
  job: Job,
  head: InspectionResult | undefined,
  streamed: boolean,
  inPass: boolean,
): string[] {
  const { volume } = job.request
  const arrive = job.wrapping === 'gzip' ? 'download, decompress and inspect' : 'download and inspect'
  const verified = job.signed ? 'verify hash and signature' : 'verify the hash'
  if (streamed) return [`${arrive}, writing ${volume} in the same pass`, verified]
  if (job.wrapping === 'xenserver') {
    return [
      'download, unpack and inspect the chain of VHDs',
      verified,
      `lay the chain out as ${job.volumeFormat} on ${volume}`,
    ]
  }
  if (inPass && head?.format === 'qcow2') {
    return [`${arrive} into a temporary file, decoding qcow2 onto ${volume} behind the download`, verified]
  }
  return [
    `${arrive} into a temporary file`,
    verified,
    `convert ${head?.format ?? job.claimedFormat ?? 'what it is'} to ${job.volumeFormat} on ${volume}`,
  ]
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

async function existingFolder(folder: string): Promise<string> {
  const exists = await freeSpace(folder).then(
    () => true,
    () => false,
  )
  return exists || folder === path.dirname(folder) ? folder : existingFolder(path.dirname(folder))
}
