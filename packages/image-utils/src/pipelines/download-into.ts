import type { ByteSink, DownloadReport, OverlappedSink, Refusal } from '@disk-image/core'
import type { Toolbox } from '../dependencies.ts'
import { openSignatureVerification } from '../operations/verify-signature.ts'
import type { Job } from './job.ts'
import { warnIfUnverified } from './unverified.ts'

/** A download that is whole and verified. */
export interface Downloaded {
  readonly report: DownloadReport
  readonly signatureVerified: boolean
  /** What could not be verified. */
  readonly warnings: readonly Refusal[]
}

/** Downloads the stored bytes into a sink, and verifies hash and, where there is one, signature. */
export async function downloadInto(toolbox: Toolbox, job: Job, sink: ByteSink): Promise<Downloaded> {
  const signature = job.source.signed
    ? await openSignatureVerification(toolbox, job.context, job.record, job.call)
    : undefined
  try {
    const { connections, preferStores, verify } = job.request
    const report = await job.imageService.download(
      job.context,
      job.imageId,
      signature === undefined ? sink : both(signature, sink),
      { ...job.call, connections, preferStores, verify, record: job.record },
    )
    await signature?.verify()
    const warnings = signature === undefined ? warnIfUnverified(toolbox, job.imageId, report, verify) : []
    return { report, signatureVerified: signature !== undefined, warnings }
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
