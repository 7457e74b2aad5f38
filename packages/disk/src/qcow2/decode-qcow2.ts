import type { FileHandle } from 'node:fs/promises'
import type { CallOptions } from '@disk-image/core'
import { completeFrontier } from './frontier.ts'
import { Qcow2Decoder } from './decoder.ts'
import { layoutHeadBytes } from '../layouts/head.ts'
import type { StreamPlanOptions } from '../stream/stream-decoder.ts'
import { parseQcow2 } from './layout.ts'
import { requireStreamable } from './plan-qcow2.ts'
import { type DecodeWorkers, workersOf } from '../stream/decode-workers.ts'
import { SpoolFile } from '../stream/spool-file.ts'

/** Takes the disk's bytes, each at most once, in any order. */
export interface Qcow2Target {
  /**
   * Writes all of the chunk at the disk's byte `offset`. Several writes may be under way at once. The chunk is
   * lent: it is overwritten after the promise has settled. An error ends the decoding and is passed on as it is.
   */
  write(chunk: Uint8Array, offset: number): Promise<void>
}

/** Options of {@link decodeQcow2}. */
export interface DecodeQcow2Options extends CallOptions, StreamPlanOptions {
  /** Path or handle of the qcow2 file. A handle is left open. */
  readonly source: string | FileHandle
  /** Must read as zero wherever nothing is written: zero and unallocated clusters are left out. */
  readonly target: Qcow2Target
  /**
   * Threads that inflate: how many of its own, which end with it, or some that several decodings share. 0 inflates in
   * the caller's own. They start when there is something for them. @default CPUs, at most 4
   */
  readonly workers?: number | DecodeWorkers | undefined
}

/** What a decoding came to. */
export interface Qcow2DecodeResult {
  readonly virtualSizeBytes: number
  /** Bytes handed to the target. */
  readonly bytesWritten: number
  /** Guest clusters of each kind. */
  readonly clusters: {
    readonly plain: number
    readonly compressed: number
    /** Marked as zero. */
    readonly zero: number
    readonly unallocated: number
  }
}

/**
 * Decodes the active disk of a qcow2 file to raw, in the order of the file. Everything is checked on the way; success means
 * that every table lies in the file, no host cluster is used twice, and each compressed cluster is exactly one.
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
  options.signal?.throwIfAborted()
  await using file = await SpoolFile.open(options.source)
  const sizeBytes = await file.sizeBytes()
  const head = new Uint8Array(Math.min(layoutHeadBytes, sizeBytes))
  await file.readFully(head, 0)
  const layout = parseQcow2(head)
  requireStreamable(layout, options)
  const decoder = new Qcow2Decoder({
    layout,
    file,
    frontier: completeFrontier(sizeBytes),
    target: options.target,
    workers: workersOf(options.workers),
    onProgress: options.onProgress,
  })
  return await decoder.run(options.signal)
}
