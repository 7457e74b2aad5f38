import type { FileHandle } from 'node:fs/promises'
import type { CallOptions } from '@disk-image/core'
import { completeFrontier, type Qcow2Frontier } from './frontier.ts'
import { Qcow2Decoder } from './decoder.ts'
import type { PlanQcow2Options } from './plan-qcow2.ts'
import { type Qcow2Workers, workersOf } from './qcow2-workers.ts'
import { SourceFile } from './source-file.ts'

/** Takes the disk's bytes, each at most once, in any order. */
export interface Qcow2Target {
  /**
   * Writes all of the chunk at the disk's byte `offset`. Several writes may be under way at once. The chunk is
   * lent: it is overwritten after the promise has settled. An error ends the decoding and is passed on as it is.
   */
  write(chunk: Uint8Array, offset: number): Promise<void>
}

/** Options of {@link decodeQcow2}. */
export interface DecodeQcow2Options extends CallOptions, PlanQcow2Options {
  /** Path or handle of the qcow2 file. A handle is left open. */
  readonly source: string | FileHandle
  /** How far the file has come, where it is still being downloaded. @default the file is complete */
  readonly frontier?: Qcow2Frontier | undefined
  /** Must read as zero wherever nothing is written: zero and unallocated clusters are left out. */
  readonly target: Qcow2Target
  /**
   * Threads that inflate: how many of its own, which end with it, or some that several decodings share. 0 inflates in
   * the caller's own. They start when there is something for them. @default CPUs, at most 4
   */
  readonly workers?: number | Qcow2Workers | undefined
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
 * Decodes the active disk of a qcow2 file to raw, behind the frontier of its download: whatever tables and
 * clusters have arrived are written, in the order of the file. Everything is checked on the way; success means
 * that every table lies in the file, no host cluster is used twice, and each compressed cluster is exactly one.
 * What the refcounts say is not compared.
 *
 * Memory is bounded whatever the image says: about 20 MiB of data, at most 250 MiB of state for a hostile one.
 * When the promise settles, no read or write is under way, and all workers of its own have ended.
 *
 * @throws {Qcow2DecodeError} where the image is damaged, or one that {@link planQcow2} does not support
 * @throws {InvalidError} where the source is no regular file and there is no frontier
 * @throws the signal's reason after an abort
 */
export async function decodeQcow2(options: DecodeQcow2Options): Promise<Qcow2DecodeResult> {
  options.signal?.throwIfAborted()
  await using file = await SourceFile.open(options.source)
  const frontier = options.frontier ?? completeFrontier(await file.sizeBytes())
  const decoder = new Qcow2Decoder({
    file,
    frontier,
    target: options.target,
    workers: workersOf(options.workers),
    maximumVirtualSizeBytes: options.maximumVirtualSizeBytes,
    onProgress: options.onProgress,
  })
  return await decoder.run(options.signal)
}
