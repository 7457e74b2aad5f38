import { InvalidError } from '@disk-image/core'
import type { Spool, StreamDecoder, StreamDecoderOptions, StreamFormat } from '../stream/stream-decoder.ts'
import type { Qcow2DecodeResult } from './decode-qcow2.ts'
import { Qcow2Decoder } from './decoder.ts'
import { ExpectedClusters } from './expected-clusters.ts'
import { GrowingFrontier } from './growing-frontier.ts'
import type { Qcow2Layout } from './layout.ts'
import { planQcow2, requireStreamable } from './plan-qcow2.ts'
import { workersOf } from '../stream/decode-workers.ts'
import { SpoolFile } from '../stream/spool-file.ts'

/** Options of {@link openQcow2Stream}. */
export interface Qcow2StreamOptions extends StreamDecoderOptions {
  /** How many of the stream's first bytes are in the spool already. @default 0 */
  readonly spooledBytes?: number | undefined
}

/** qcow2 as a format of streams. */
export const qcow2Stream: StreamFormat<Qcow2Layout> = { plan: planQcow2, open: openQcow2Stream }

/**
 * Decodes the active disk of a qcow2 file to raw while it comes, once through: clusters whose table came before
 * them, as qemu-img and running machines write them, go straight to the target, and only the rest takes the way
 * through the spool. It checks what {@link decodeQcow2} checks, and needs as much memory.
 *
 * @throws {Qcow2DecodeError} for a layout that {@link planQcow2} does not support
 */
export async function openQcow2Stream(
  layout: Qcow2Layout,
  options: Qcow2StreamOptions,
): Promise<Qcow2StreamDecoder> {
  options.signal?.throwIfAborted()
  requireStreamable(layout)
  return new Qcow2StreamDecoder(layout, options, await SpoolFile.open(options.spool.file))
}

/** @see openQcow2Stream */
export class Qcow2StreamDecoder implements StreamDecoder {
  readonly #spool: Spool
  readonly #frontier: GrowingFrontier
  readonly #expected: ExpectedClusters
  readonly #decoder: Qcow2Decoder
  readonly #decoding: Promise<Qcow2DecodeResult>
  readonly #abort = new AbortController()
  /** Where the next write begins. */
  #nextOffset: number
  /** Settles when everything that was written so far has been decided on. */
  #decided: Promise<unknown> = Promise.resolve()
  /** Settles when everything that was decided so far is in its place, or will never be. */
  #placed: Promise<unknown> = Promise.resolve()

  constructor(layout: Qcow2Layout, options: Qcow2StreamOptions, file: SpoolFile) {
    this.#spool = options.spool
    const { spooledBytes = 0 } = options
    this.#nextOffset = spooledBytes
    this.#frontier = new GrowingFrontier(spooledBytes)
    this.#expected = new ExpectedClusters(spooledBytes)
    this.#decoder = new Qcow2Decoder({
      layout,
      file,
      frontier: this.#frontier,
      expected: this.#expected,
      target: options.target,
      workers: workersOf(options.workers),
      onProgress: options.onProgress,
    })
    const signals = [this.#abort.signal, options.signal].filter((signal) => signal !== undefined)
    this.#decoding = this.#decode(file, AbortSignal.any(signals))
    this.#decoding.catch(() => undefined)
  }

  async #decode(file: SpoolFile, signal: AbortSignal): Promise<Qcow2DecodeResult> {
    await using _file = file
    return await this.#decoder.run(signal)
  }

  write(chunk: Uint8Array, offset: number): Promise<void> {
    if (offset !== this.#nextOffset) {
      return Promise.reject(
        new InvalidError({ reason: `The stream goes on at ${this.#nextOffset}, not at ${offset}.` }),
      )
    }
    this.#nextOffset += chunk.byteLength
    const decided = this.#decided.then(() => this.#decide(chunk))
    this.#decided = decided.catch(() => undefined)
    return decided.then(({ placed }) => placed)
  }

  async end(): Promise<Qcow2DecodeResult> {
    this.#frontier.end()
    return await this.#decoding
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error('The decoding of a qcow2 stream was given up.'))
    this.#frontier.end()
    await Promise.allSettled([this.#decoding, this.#decided])
    await this.#placed
  }

  /** Decides where a chunk's bytes go. @returns what settles when they are there */
  async #decide(chunk: Uint8Array): Promise<{ readonly placed: Promise<void> }> {
    let placed = Promise.resolve()
    try {
      for (let at = 0; at < chunk.byteLength;) {
        const { position } = this.#expected
        if (this.#decoder.isBehind(position)) {
          // What it is behind with is in the file only then.
          await this.#placed
          await this.#decoder.catchUp(position)
        }
        this.#decoder.throwIfStopped()
        if (this.#decoder.ended) break
        const bytes = chunk.subarray(at, at + this.#decoder.startsAt - position)
        placed = this.#place(bytes)
        at += bytes.byteLength
      }
    } catch (error) {
      await this.#placed
      throw error
    }
    if (this.#decoder.ended) await this.#decoding
    return { placed }
  }

  /** Sends bytes to their places, and moves the frontier when they and all before them are there. */
  #place(bytes: Uint8Array): Promise<void> {
    const before = this.#placed
    const underWay: Promise<void>[] = []
    let failure: { readonly error: unknown } | undefined
    try {
      for (let at = 0; at < bytes.byteLength;) at += this.#takePart(bytes.subarray(at), underWay)
    } catch (error) {
      failure = { error }
    }
    const { position } = this.#expected
    const settle = async (): Promise<void> => {
      // Whatever became of one: the chunk is lent to all of them.
      const outcomes = await Promise.allSettled(underWay)
      const rejected = outcomes.find((outcome) => outcome.status === 'rejected')
      failure ??= rejected && { error: rejected.reason as unknown }
      if (failure !== undefined) {
        this.#decoder.fail(failure.error)
        await this.#decoding
      }
      await before
      this.#frontier.advance(position)
    }
    const placed = settle()
    this.#placed = placed.catch(() => undefined)
    return placed
  }

  /** Sends the first bytes where they belong. @returns how many */
  #takePart(bytes: Uint8Array, underWay: Promise<void>[]): number {
    const expected = this.#expected
    const { position, first } = expected
    const table = this.#decoder.nextTable(position)
    if (table === position && this.#openTable(bytes)) return this.#decoder.clusterSize
    const boundary = Math.min(first?.hostOffset ?? Infinity, table > position ? table : Infinity)
    if (first?.hostOffset === position) {
      const part = bytes.subarray(0, first.length)
      underWay.push(this.#decoder.writeArrived(part, first.guestOffset))
      expected.position += part.byteLength
      expected.consume(part.byteLength)
      return part.byteLength
    }
    const part = bytes.subarray(0, boundary - position)
    expected.position += part.byteLength
    underWay.push(this.#spool.write(part, position))
    return part.byteLength
  }

  /** Opens a table that has come whole. What is not opened goes into the file, where it is read later. */
  #openTable(bytes: Uint8Array): boolean {
    const { clusterSize } = this.#decoder
    const { position } = this.#expected
    if (bytes.byteLength < clusterSize) return false
    this.#expected.position += clusterSize
    if (this.#decoder.openTable(position, bytes.subarray(0, clusterSize))) return true
    this.#expected.position = position
    return false
  }
}
