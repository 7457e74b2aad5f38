import type { FileHandle } from 'node:fs/promises'
import type { CallOptions } from '@disk-image/core'
import type { Qcow2DecodeResult, Qcow2Target } from './decode-qcow2.ts'
import { Qcow2Decoder } from './decoder.ts'
import { ExpectedClusters } from './expected-clusters.ts'
import { GrowingFrontier } from './growing-frontier.ts'
import type { PlanQcow2Options } from './plan-qcow2.ts'
import { type Qcow2Workers, workersOf } from './qcow2-workers.ts'
import { SourceFile } from './source-file.ts'

/** Options of {@link decodeQcow2Stream}. */
export interface DecodeQcow2StreamOptions extends CallOptions, PlanQcow2Options {
  /** Path or handle of a file that has the stream's first bytes already. It is read, here and in other threads. */
  readonly file: string | FileHandle
  /** How many it has. @default 0 */
  readonly fileBytes?: number | undefined
  /**
   * Puts bytes of the stream into that file, at their own offset: tables, compressed clusters, and whatever comes
   * before the table that tells its place. Several calls may be under way at once; chunks are lent.
   */
  readonly keep: (chunk: Uint8Array, offset: number) => Promise<void>
  /** Must read as zero wherever nothing is written: zero and unallocated clusters are left out. */
  readonly target: Qcow2Target
  /**
   * Threads that inflate: how many of its own, which end with it, or some that several decodings share. 0 inflates in
   * the caller's own. They start when there is something for them. @default CPUs, at most 4
   */
  readonly workers?: number | Qcow2Workers | undefined
}

/** A qcow2 file on its way, from its start to its end. */
export interface Qcow2Stream {
  /**
   * Takes the next bytes, which are lent until the promise settles. Writes begin in the order of the calls.
   *
   * @throws what ended the decoding
   */
  write(chunk: Uint8Array): Promise<void>
  /** How many writes at once make sense. */
  readonly concurrency: number
  /**
   * Says that the file is complete.
   *
   * @throws {Qcow2DecodeError} where it is damaged; what the target or `keep` threw; the signal's reason
   */
  end(): Promise<Qcow2DecodeResult>
  /** Gives up, and resolves when nothing is under way any more. Harmless after the end. */
  close(): Promise<void>
}

/**
 * Decodes the active disk of a qcow2 file to raw while it comes, once through: clusters whose table came before
 * them, as qemu-img and running machines write them, go straight to the target, and only the rest takes the way
 * through the file. It checks what {@link decodeQcow2} checks, and needs as much memory.
 */
export async function decodeQcow2Stream(options: DecodeQcow2StreamOptions): Promise<Qcow2Stream> {
  options.signal?.throwIfAborted()
  return new Stream(options, await SourceFile.open(options.file))
}

class Stream implements Qcow2Stream {
  readonly #keep: DecodeQcow2StreamOptions['keep']
  readonly #frontier: GrowingFrontier
  readonly #expected: ExpectedClusters
  readonly #decoder: Qcow2Decoder
  readonly #decoding: Promise<Qcow2DecodeResult>
  readonly #abort = new AbortController()
  /** Settles when everything that was written so far has been decided on. */
  #decided: Promise<unknown> = Promise.resolve()
  /** Settles when everything that was decided so far is in its place, or will never be. */
  #placed: Promise<unknown> = Promise.resolve()
  readonly concurrency = 3

  constructor(options: DecodeQcow2StreamOptions, file: SourceFile) {
    this.#keep = options.keep
    const { fileBytes = 0 } = options
    this.#frontier = new GrowingFrontier(fileBytes)
    this.#expected = new ExpectedClusters(fileBytes)
    this.#decoder = new Qcow2Decoder({
      file,
      frontier: this.#frontier,
      expected: this.#expected,
      target: options.target,
      workers: workersOf(options.workers),
      maximumVirtualSizeBytes: options.maximumVirtualSizeBytes,
      onProgress: options.onProgress,
    })
    const signals = [this.#abort.signal, options.signal].filter((signal) => signal !== undefined)
    this.#decoding = this.#decode(file, AbortSignal.any(signals))
    this.#decoding.catch(() => undefined)
  }

  async #decode(file: SourceFile, signal: AbortSignal): Promise<Qcow2DecodeResult> {
    await using _file = file
    return await this.#decoder.run(signal)
  }

  write(chunk: Uint8Array): Promise<void> {
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
    underWay.push(this.#keep(part, position))
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
