import {
  type ByteSink,
  type Checksum,
  type DownloadReport,
  ImageDownloadFailedError,
  type OverlappedSink,
  type Refusal,
  type VerifyPolicy,
} from '@disk-image/core'
import { RateLimiter } from '@disk-image/io'
import { openSignatureVerification } from '../judge/verify-signature.ts'
import type { Services } from '../services/services.ts'
import type { Job } from './job.ts'
import { resumePointOf, type Unfinished } from './kept-part.ts'

/** A download that is whole and verified. */
export interface Downloaded {
  readonly report: DownloadReport
  /** What a killed process had fetched already. */
  readonly resumedBytes: number
  readonly signatureVerified: boolean
  /** What could not be verified. */
  readonly warnings: readonly Refusal[]
}

/** What a download has to know of a job. */
type DownloadJob = Pick<Job, 'context' | 'record' | 'stored' | 'imageId' | 'throttle' | 'call'> & {
  readonly source: Pick<Job['source'], 'signed'>
  readonly request: Pick<Job['request'], 'checksums' | 'connections' | 'preferStores' | 'verify'>
}

/** The same sink, that takes no more than so many bytes each second. */
function limited(sink: ByteSink | OverlappedSink, limiter: RateLimiter): ByteSink | OverlappedSink {
  const write = async (chunk: Uint8Array): Promise<void> => {
    await limiter.take(chunk.length)
    await sink.write(chunk)
  }
  if (!('writeAt' in sink)) return { write }
  return {
    write,
    writeAt: async (chunk, offset) => {
      await limiter.take(chunk.length)
      await sink.writeAt(chunk, offset)
    },
  }
}

/** Downloads the stored bytes into a sink, and verifies hash and, where there is one, signature. */
export async function downloadInto(
  services: Services,
  job: DownloadJob,
  target: ByteSink | OverlappedSink,
  unfinished?: Unfinished,
): Promise<Downloaded> {
  const { rateBytesPerSecond } = job.throttle
  const sink =
    rateBytesPerSecond === undefined
      ? target
      : limited(target, new RateLimiter(rateBytesPerSecond, job.call.signal))

  const signature = job.source.signed
    ? await openSignatureVerification(services, job.context, job.record, job.call)
    : undefined
  try {
    const { checksums, connections, preferStores, verify } = job.request
    const options = { ...job.call, checksums, connections, preferStores, verify }
    const whole = signature === undefined ? sink : both(signature, sink)
    const kept =
      unfinished === undefined ? undefined : resumePointOf(job.imageId, unfinished, whole, job.call.signal)
    const report = await job.stored.download(whole, { ...options, resumeFrom: kept })
    kept?.checkUsed()
    checkCompared(job.imageId, report, checksums)
    await signature?.verify()
    const warnings = signature === undefined ? warnIfUnverified(services, job.imageId, report, verify) : []
    return { report, resumedBytes: kept?.bytes ?? 0, signatureVerified: signature !== undefined, warnings }
  } finally {
    await signature?.close()
  }
}

/** Both get each chunk at the same time. What hashes uses shared memory as it is, so nothing is copied for it. */
function both(first: ByteSink, second: ByteSink | OverlappedSink): ByteSink | OverlappedSink {
  const write = async (chunk: Uint8Array): Promise<void> => {
    await Promise.all([first.write(chunk), second.write(chunk)])
  }
  if (!('writeAt' in second)) return { write }
  return {
    write,
    writeAt: async (chunk, offset) => {
      await Promise.all([first.write(chunk), second.writeAt(chunk, offset)])
    },
  }
}

/** A source of somebody else may know nothing of checksums; what was demanded of it must not be left out in silence. */
function checkCompared(
  imageId: string,
  { verified }: DownloadReport,
  checksums: readonly Checksum[] = [],
): void {
  const missing = checksums.find(
    ({ algorithm, value }) =>
      !verified.some((one) => one.algorithm === algorithm && one.value === value.toLowerCase()),
  )
  if (missing === undefined) return
  throw new ImageDownloadFailedError({
    imageId,
    reason: `its source did not compare the ${missing.algorithm} checksum that was given.`,
    partial: true,
  })
}

/**
 * Says so where nothing of a download could be compared but its size: in the log, and in what is returned for the
 * report. A caller who wanted no verification knows it already.
 */
export function warnIfUnverified(
  services: Pick<Services, 'logger'>,
  imageId: string,
  report: Pick<DownloadReport, 'hash' | 'verified'> | undefined,
  verify: VerifyPolicy | undefined,
): readonly Refusal[] {
  const warnings = unverified(report, verify)
  for (const { reason, ...warning } of warnings) services.logger.warn(reason, { imageId, ...warning })
  return warnings
}

/** The same without a word to the log. Without a report the bytes were there already, and verified before. */
export function unverified(
  report: Pick<DownloadReport, 'hash' | 'verified'> | undefined,
  verify: VerifyPolicy | undefined,
): readonly Refusal[] {
  if (report === undefined || verify === 'none') return []
  if (report.verified.length > 0 || report.hash?.verified === true) return []
  return [
    {
      rule: 'unverified',
      reason: "The image's bytes could not be verified: there is no hash to compare with.",
      found: report.hash === undefined ? 'no hash' : `${report.hash.algorithm} ${report.hash.value}`,
      accepted:
        "a checksum (checksums, --checksum), or an image with a hash; verify: 'strict' refuses any other",
    },
  ]
}
