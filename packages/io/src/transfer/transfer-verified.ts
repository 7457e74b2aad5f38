import { performance } from 'node:perf_hooks'
import type { ByteSink, DownloadReport, ResumePoint } from '@disk-image/core'
import { iterateUnlessAborted, unlessAborted } from '../flow/unless-aborted.ts'
import { Transfer, type TransferOptions } from './transfer.ts'

/** Options of {@link transferVerified}. */
export interface TransferVerifiedOptions extends TransferOptions {
  readonly signal?: AbortSignal | undefined
  /** The caller has these bytes already: they go into the hash only, and the source begins behind them. */
  readonly resumeFrom?: ResumePoint | undefined
}

/**
 * Moves all bytes of a source to a sink, and resolves only if size and hash are those of the image's record.
 *
 * The source is read on while the sink writes and other threads hash, up to 8 MiB.
 *
 * @throws {ImageDownloadFailedError} where size or hash is wrong; `partial` says whether the sink got bytes
 * @throws what the source or the sink threw, as it is; after an abort the signal's reason
 */
export async function transferVerified(
  source: AsyncIterable<Uint8Array>,
  sink: ByteSink,
  options: TransferVerifiedOptions,
): Promise<DownloadReport> {
  const { signal } = options
  signal?.throwIfAborted()
  const start = performance.now()
  const transfer = new Transfer(sink, options)
  try {
    if (options.resumeFrom !== undefined) await readAgain(transfer, options.resumeFrom, signal)
    for await (const bytes of iterateUnlessAborted(source, signal)) {
      const wait = transfer.push(bytes)
      if (wait !== undefined) await unlessAborted(wait, signal)
    }
    const result = await transfer.finish()
    signal?.throwIfAborted()
    return { ...result, resumes: 0, durationSeconds: (performance.now() - start) / 1000 }
  } finally {
    await transfer.close()
  }
}

/** Brings a transfer's hashes up to the point from which it goes on. */
export async function readAgain(
  transfer: Transfer,
  point: ResumePoint,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (point.bytes === 0) return
  for await (const bytes of point.read()) {
    signal?.throwIfAborted()
    const missing = point.bytes - transfer.received
    const wait = transfer.push(bytes.length > missing ? bytes.subarray(0, missing) : bytes, true)
    if (wait !== undefined) await wait
    if (transfer.received === point.bytes) return
  }
  throw new RangeError(`The resume point has ${transfer.received} bytes where ${point.bytes} were promised`)
}
