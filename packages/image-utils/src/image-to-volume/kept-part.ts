import path from 'node:path'
import {
  type ByteSink,
  ImageDownloadFailedError,
  type OverlappedSink,
  type ResumePoint,
} from '@disk-image/core'
import { type Partial, type PartOf, preparePartial, resolvePlace, type Volume } from '@disk-image/host'
import { readHandleInChunks } from '../files/file-chunks.ts'
import type { Cleanup } from '../services/cleanup.ts'
import { describeIdentity, knownIdentity } from '../sources/source-cache.ts'
import type { Job } from './job.ts'

/** A new file that takes a raw image, and goes on with what a killed process left of it. */
export interface Unfinished {
  readonly prepared: Partial
  /** What the file is the beginning of; undefined while it isn't known, or nothing tells its bytes again. */
  readonly whole: () => PartOf | undefined
}

/**
 * Prepares the new file under its temporary name, where a raw image comes straight onto it. Undefined where nothing is
 * kept after a kill: what is there already, what others write or read, and what wouldn't be compared.
 */
export async function prepareUnfinished(job: Job, cleanup: Cleanup): Promise<Unfinished | undefined> {
  const { request, target, container, source, stored, record, call } = job
  const { durable, verify, cache, checksums, volume } = request
  const isPlain = container === 'none' && target.format === 'raw' && !target.inOrder && !target.needsTool
  if (!isPlain || target.exists || target.writesZeros || source.verifyFirst) return undefined
  if (cache !== undefined) return undefined
  if (durable === false || verify === 'none' || request.sourcePassphraseFile !== undefined) return undefined
  const wholeBy = (identity: string | undefined): PartOf | undefined => {
    const sizeBytes = record.size ?? stored.sizeBytes
    return identity === undefined || sizeBytes === undefined ? undefined : { identity, sizeBytes }
  }
  const place = await resolvePlace(path.resolve(volume)).catch(() => undefined)
  if (place === undefined || place.found !== undefined) return undefined
  const prepared = await preparePartial(place.path, undefined, async () =>
    wholeBy(await describeIdentity(stored, { checksums, signal: call.signal })),
  )
  // The volume's by then, unless there was none.
  cleanup.always(async () => {
    await prepared.discard()
    await prepared.close()
  })
  return { prepared, whole: () => wholeBy(knownIdentity(stored, checksums)) }
}

/** A point to go on from, which a source of somebody else may know nothing of. */
interface KeptPoint extends ResumePoint {
  /** @throws {ImageDownloadFailedError} unless it was read, once: what is kept may not be what was fetched and compared */
  checkUsed(): void
}

/** What is kept, read again for the hash: the sink gets it like what comes after it. */
export function resumePointOf(
  imageId: string,
  { prepared: { kept } }: Unfinished,
  sink: ByteSink,
  signal: AbortSignal | undefined,
): KeptPoint | undefined {
  if (kept === undefined) return undefined
  const { bytes, handle } = kept
  let reads = 0
  let readBytes = 0
  const fail = (reason: string): never => {
    throw new ImageDownloadFailedError({ imageId, reason, partial: true })
  }
  return {
    bytes,
    async *read() {
      reads += 1
      for await (const chunk of readHandleInChunks(handle, { length: bytes, signal })) {
        await sink.write(chunk)
        readBytes += chunk.length
        yield chunk
      }
      if (readBytes < bytes) fail('what was there already became shorter.')
    },
    checkUsed() {
      if (reads !== 1) fail('its source did not go on behind what was there already.')
    },
  }
}

/** The same sink, that tells the volume up to where everything is written. */
export function tellingReached(sink: OverlappedSink, volume: Pick<Volume, 'reached'>): OverlappedSink {
  /** What was begun and is not written yet, in order. */
  const underWay = new Set<{ readonly offset: number }>()
  let end = 0
  const writeAt = async (chunk: Uint8Array, offset: number): Promise<void> => {
    const one = { offset }
    underWay.add(one)
    end = offset + chunk.length
    await sink.writeAt(chunk, offset)
    underWay.delete(one)
    const [first = { offset: end }] = underWay
    volume.reached(first.offset)
  }
  return { writeAt, write: (chunk) => writeAt(chunk, end) }
}
