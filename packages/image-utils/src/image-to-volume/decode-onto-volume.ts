import type { OverlappedSink, Target } from '@disk-image/core'
import { createInspector, type InspectionResult } from '@disk-image/format-policy/inspector'
import { openVolume, type Volume } from '@disk-image/host'
import { SparseSink } from '@disk-image/io'
import { openStreamDecoder, type Spool } from '@disk-image/disk'
import type { RouteLayout } from '../route/formats.ts'
import { readPassphrase } from '../judge/decrypt.ts'
import { checkContent, checkSameSize } from '../judge/judge.ts'
import type { Cleanup } from '../services/cleanup.ts'
import type { Services } from '../services/services.ts'
import { rateLimiterOf, volumeOptions } from '../write/write-disk.ts'
import { checkInspection } from './check-inspection.ts'
import { checkFits, type Job } from './job.ts'
import { InspectingSink } from './inspecting-sink.ts'

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

/** The temporary file of one image. */
export interface SpoolFile {
  readonly path: string
  readonly volume: Volume
}

/** Where the bytes go as they arrive. */
export interface Arrival {
  readonly sink: OverlappedSink
  /** Completes what the sink began; called when everything is verified and judged. */
  finish(inspection: InspectionResult): Promise<Streamed | InFile>
}

const noSpool: Spool = {
  file: '/dev/null',
  write: () => Promise.reject(new RangeError('nothing of this image has to wait')),
}

/** Nothing goes beyond the volume, also of what only its end tells the size of. */
export function sinkOnto(
  { request, imageId, throttle, call, target }: Job,
  volume: Pick<Target, 'write' | 'zero'>,
): SparseSink {
  return new SparseSink(volume, {
    sparse: !target.writesZeros,
    rateLimiter: rateLimiterOf({ throttle, call }),
    checkEnd: (endBytes) => checkFits(endBytes, request.volumeSizeGiB, imageId),
  })
}

/**
 * An image onto a raw volume while it downloads. Only what has to wait for a table goes through the temporary file. No
 * tool reads the image, so none is asked what it makes of it.
 *
 * @param spool undefined where the plan says that nothing waits
 * @param judged what its head was judged as
 */
export async function decodeOntoVolume(
  services: Services,
  job: Job,
  cleanup: Cleanup,
  {
    spool,
    plan,
    judged,
  }: { spool: SpoolFile | undefined; plan: NonNullable<RouteLayout['stream']>; judged: InspectionResult },
): Promise<Arrival> {
  const { imageId, request, target, call } = job
  let volume: Volume | undefined
  let onto: SparseSink | undefined
  const isSealed = plan.layout.format === 'luks'
  const checkInside = (inspection: InspectionResult): void =>
    checkContent(services, imageId, {
      claimedFormat: 'raw',
      inspection,
      volumeSizeGiB: request.volumeSizeGiB,
    })
  const open = async (sizeBytes: number | undefined): Promise<SparseSink> => {
    if (sizeBytes !== undefined) {
      checkSameSize(imageId, sizeBytes, judged.virtualSizeBytes)
      checkInspection(services, job, { ...judged, virtualSizeBytes: sizeBytes }, 'head')
    }
    volume = await openVolume(request.volume, { sizeBytes, ...volumeOptions(services, job) })
    const opened = volume
    cleanup.always(() => opened.close())
    // A decoder leaves out what is zero; of a device that has to be made true first.
    if (!target.writesZeros && !isSealed && sizeBytes !== undefined) await volume.zero(0, sizeBytes)
    onto = sinkOnto(job, volume)
    return onto
  }
  // Of what is encrypted nobody has seen anything yet: the disk inside is judged as any raw one that comes.
  const inside = isSealed
    ? new InspectingSink(createInspector(), 0, (inspection) => {
        checkInside(inspection)
        return open(plan.sizeBytes)
      })
    : undefined
  if (!isSealed && plan.sizeBytes !== undefined) await open(plan.sizeBytes)
  const passphrase = isSealed ? await readPassphrase(request.sourcePassphraseFile ?? '') : undefined
  const decoder = await openStreamDecoder(plan.layout, {
    workers: services.decodeWorkers,
    spool:
      spool === undefined
        ? noSpool
        : { file: spool.path, write: (chunk, offset) => spool.volume.write(chunk, offset) },
    writeZeros: target.writesZeros,
    onSize: plan.sizeBytes === undefined ? async (sizeBytes) => void (await open(sizeBytes)) : undefined,
    passphrase,
    target: {
      write: async (chunk, offset) => (inside ?? onto)?.writeAt(chunk, offset),
      zero: async (offset, length) => onto?.zeroAt(offset, length),
    },
    signal: call.signal,
  }).finally(() => passphrase?.fill(0))
  cleanup.onFailure(() => decoder.close())
  let position = 0
  const writeAt = (chunk: Uint8Array, offset: number): Promise<void> => {
    position = offset + chunk.length
    return decoder.write(chunk, offset)
  }
  return {
    sink: { write: (chunk) => writeAt(chunk, position), writeAt },
    finish: async (inspection) => {
      const result = await decoder.end()
      if (inside !== undefined) checkInside(await inside.end())
      checkSameSize(imageId, result.virtualSizeBytes, inspection.virtualSizeBytes)
      // A disk consists of whole sectors.
      const virtualSizeBytes = Math.ceil(result.virtualSizeBytes / 512) * 512
      if (volume === undefined || onto === undefined) throw new Error('the decoder has told no size')
      await volume.commit(virtualSizeBytes)
      // Before all is said to be well: on a network file system closing can fail for what was written.
      await volume.close()
      return { kind: 'on-volume', bytesWritten: onto.written, virtualSizeBytes }
    },
  }
}
