import type { FileHandle } from 'node:fs/promises'
import type { CallOptions, Layout, Target } from '@disk-image/core'
import type { DecodeWorkers } from './decode-workers.ts'

/**
 * Where a decoder puts bytes of the image that it needs later: one file, at the image's own offsets. It is the only
 * temporary space of a stream. What was not written is never read.
 */
export interface Spool {
  /** Path or handle of the file, which the decoder and its threads read. A handle stays open. */
  readonly file: string | FileHandle
  /** So much waits in memory before the file is written to, where the format allows it. @default 4 MiB */
  readonly memoryBytes?: number | undefined
  /** Writes all of the chunk, which is lent until the promise settles. Several calls may be under way at once. */
  write(chunk: Uint8Array, offset: number): Promise<void>
}

/** Options of {@link openStreamDecoder}. */
export interface StreamDecoderOptions extends CallOptions {
  /**
   * Takes the disk's bytes, each at most once, in any order, of any length. An error ends the decoding and is passed on
   * as it is.
   */
  readonly target: Pick<Target, 'write' | 'zero'>
  /**
   * Is told the bytes of the disk, once and before the target is called: for those whose head does not tell; undefined
   * where only the image's end does, as of a fixed VHD. An error ends the decoding and is passed on as it is.
   */
  readonly onSize?: ((sizeBytes: number | undefined) => Promise<void>) | undefined
  readonly spool: Spool
  /**
   * Whether `target.zero` is called for all of the disk that reads as zero. Otherwise that is left out, and the target
   * must read as zero wherever nothing is written. @default false
   */
  readonly writeZeros?: boolean | undefined
  /**
   * Threads that inflate: how many of its own, which end with it, or some that several decoders share. 0 inflates in
   * the caller's own. They start when there is something for them. @default CPUs, at most 4
   */
  readonly workers?: number | DecodeWorkers | undefined
  /** For `luks`, whose target is called in order. It is copied, and the copy wiped when the key is there. */
  readonly passphrase?: Uint8Array | undefined
}

/** What a decoding came to. */
export interface StreamDecoderResult {
  readonly virtualSizeBytes: number
  /** Bytes handed to `target.write`. */
  readonly bytesWritten: number
}

/** Turns an image that comes once through, from its start to its end, into its disk. */
export interface StreamDecoder {
  /**
   * Takes the image's next bytes, which are lent until the promise settles. Calls are made in order, each with the
   * offset at which the one before ended; several may be under way at once, and the caller bounds how many.
   *
   * @throws what ended the decoding
   */
  write(chunk: Uint8Array, offset: number): Promise<void>
  /**
   * Says that the image is complete, and resolves when all of its disk is on the target.
   *
   * @throws the error of a damaged image with rule and offset; what the target or the spool threw; the signal's reason
   */
  end(): Promise<StreamDecoderResult>
  /** Gives up, and resolves when nothing is lent or under way any more. Harmless after the end. */
  close(): Promise<void>
}

/** Options of {@link planStream}. */
export interface StreamPlanOptions {
  /** A larger disk is not supported. @default none */
  readonly maximumSizeBytes?: number | undefined
  /** Bytes of the image: those whose size only their end tells are known by it. @default unknown */
  readonly fileBytes?: number | undefined
}

/** Whether an image can be decoded while it comes, going by its head. */
export type StreamPlan<L extends Layout = Layout> =
  | {
      readonly supported: true
      /** Bytes of the disk; undefined where the head does not tell. */
      readonly sizeBytes: number | undefined
      /** Whether bytes may have to wait in the spool. @default true */
      readonly spools?: boolean | undefined
      readonly layout: L
    }
  | {
      readonly supported: false
      /** One sentence. */
      readonly reason: string
    }

/** What a format brings to be decoded as a stream. */
export interface StreamFormat<L extends Layout> {
  /** Pure. The head is the image's first MiB, or all of a shorter one. */
  plan(head: Uint8Array, options: StreamPlanOptions): StreamPlan<L>
  /** Refuses a layout that `plan` does not support. */
  open(layout: L, options: StreamDecoderOptions): Promise<StreamDecoder>
}

/**
 * Supports what the parse of a head found nothing wrong with.
 *
 * @param but the check that the policy may let pass, and that tells nothing of where the data lies
 */
export function planLayout<L extends Layout>(
  layout: L,
  { maximumSizeBytes = Number.MAX_SAFE_INTEGER }: StreamPlanOptions,
  but?: 'clean',
): StreamPlan<L> {
  const { format, sizeBytes, problems } = layout
  const problem = problems.find(({ rule }) => rule !== `${format}-${but}`)
  if (problem !== undefined) return { supported: false, reason: `${problem.reason}.` }
  if (sizeBytes > maximumSizeBytes) {
    return { supported: false, reason: `Its disk has ${sizeBytes} bytes, more than ${maximumSizeBytes}.` }
  }
  return { supported: true, sizeBytes, layout }
}
