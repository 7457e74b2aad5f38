import { performance } from 'node:perf_hooks'
import type { ByteSink, DownloadReport, ResumePoint } from '@disk-image/core'
import { iterateUnlessAborted, unlessAborted } from '../flow/unless-aborted.ts'
import { createVerifiedPipe } from './verified-pipe.ts'
import type { VerifiedPipe, VerifiedPipeOptions } from './verified-pipe.ts'

/** Options of {@link transferVerified}. */
export interface TransferOptions extends VerifiedPipeOptions {
  readonly signal?: AbortSignal | undefined
  /** The caller has these bytes already: they go into the hash only, and the source begins behind them. */
  readonly resumeFrom?: ResumePoint | undefined
}

/**
 * Moves all bytes of a source to a sink, and resolves only if size and hash are those of the image's record.
 *
 * The source is read on while the sink writes and other threads hash, up to the ring's 8 MiB.
 *
 * @throws {ImageDownloadFailedError} where size or hash is wrong; `partial` says whether the sink got bytes
 * @throws what the source or the sink threw, as it is; after an abort the signal's reason
 */
export async function transferVerified(
  source: AsyncIterable<Uint8Array>,
  sink: ByteSink,
  options: TransferOptions,
): Promise<DownloadReport> {
  const { signal } = options
  signal?.throwIfAborted()
  const start = performance.now()
  const pipe = createVerifiedPipe(sink, options)
  try {
    if (options.resumeFrom !== undefined) await readAgain(pipe, options.resumeFrom, signal)
    await pushAll(pipe, source, signal)
    const result = await pipe.finish()
    signal?.throwIfAborted()
    return { ...result, resumes: 0, durationSeconds: (performance.now() - start) / 1000 }
  } finally {
    await pipe.close()
  }
}

/** Brings a pipe's hashes up to the point from which a transfer goes on. */
export async function readAgain(
  pipe: VerifiedPipe,
  point: ResumePoint,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (point.bytes === 0) return
  for await (const bytes of point.read()) {
    signal?.throwIfAborted()
    const missing = point.bytes - pipe.received
    const wait = pipe.push(bytes.length > missing ? bytes.subarray(0, missing) : bytes, false)
    if (wait !== undefined) await wait
    if (pipe.received === point.bytes) return
  }
  throw new RangeError(`The resume point has ${pipe.received} bytes where ${point.bytes} were promised`)
}

async function pushAll(
  pipe: VerifiedPipe,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  for await (const bytes of iterateUnlessAborted(source, signal)) {
    const wait = pipe.push(bytes)
    if (wait !== undefined) await unlessAborted(wait, signal)
  }
}
