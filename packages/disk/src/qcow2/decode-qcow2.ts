import type { FileHandle } from 'node:fs/promises'
import type { CallOptions, Target } from '@disk-image/core'
import { layoutHeadBytes } from '../layouts/fields.ts'
import { type DecodeWorkers, shareWorkers } from '../stream/decode-workers.ts'
import { SpoolFile } from '../stream/spool-file.ts'
import type { StreamPlanOptions } from '../stream/stream-decoder.ts'
import type { Qcow2DecodeResult } from './progress.ts'
import { parseQcow2 } from './layout.ts'
import { requireReadable } from './plan-qcow2.ts'
import { Qcow2StreamDecoder } from './stream-decoder.ts'

/** Options of {@link decodeQcow2}. */
export interface DecodeQcow2Options extends CallOptions, StreamPlanOptions {
  /** Path or handle of the qcow2 file. A handle is left open. */
  readonly source: string | FileHandle
  /** Must read as zero wherever nothing is written: zero and unallocated clusters are left out. */
  readonly target: Pick<Target, 'write'>
  /**
   * Threads that inflate: how many of its own, which end with it, or some that several decodings share. 0 inflates in
   * the caller's own. They start when there is something for them. @default CPUs, at most 4
   */
  readonly workers?: number | DecodeWorkers | undefined
}

/**
 * Decodes the active disk of a qcow2 file to raw, in the order of the file. Everything is checked on the way; success
 * means that every table lies in the file, no host cluster is used twice, and each compressed cluster is exactly one.
 * What the refcounts say is not compared.
 *
 * Memory is bounded whatever the image says: about 20 MiB of data, at most 250 MiB of state for a hostile one.
 * When the promise settles, no read or write is under way, and all workers of its own have ended.
 *
 * @throws {Qcow2DecodeError} where the image is damaged, or one that {@link planQcow2} does not support
 * @throws {InvalidError} where the source is no regular file
 * @throws the signal's reason after an abort
 */
export async function decodeQcow2(options: DecodeQcow2Options): Promise<Qcow2DecodeResult> {
  const { source, target, onProgress, signal } = options
  signal?.throwIfAborted()
  await using file = await SpoolFile.open(source)
  const sizeBytes = await file.sizeBytes()
  const head = new Uint8Array(Math.min(layoutHeadBytes, sizeBytes))
  await file.readFully(head, 0)
  const layout = parseQcow2(head)
  requireReadable(layout, options)
  const nothing = (): Promise<void> => Promise.resolve()
  const streamOptions = {
    target: { write: (chunk: Uint8Array, offset: number) => target.write(chunk, offset), zero: nothing },
    // All of the stream is in the spool already.
    spool: { file: source, write: nothing },
    spooledBytes: sizeBytes,
    onProgress,
    signal,
  }
  return await new Qcow2StreamDecoder(layout, streamOptions, shareWorkers(options.workers), file).end()
}
