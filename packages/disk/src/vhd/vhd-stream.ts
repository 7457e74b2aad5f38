import { InvalidError } from '@disk-image/core'
import {
  planLayout,
  type StreamDecoder,
  type StreamDecoderOptions,
  type StreamDecoderResult,
  type StreamFormat,
} from '../stream/stream-decoder.ts'
import { spoolMemoryBytes } from '../stream/spool-file.ts'
import { openDynamicVhdStream } from './dynamic-stream.ts'
import { parseVhdHead, type VhdHead } from './vhd-head.ts'
import { footerBytes, judgeFixedSize, judgeSize } from './footer.ts'
import { mostSpooledBytes } from './metadata-ranges.ts'
import { findFooter } from './read-layout.ts'
import { VhdError } from '../errors.ts'

/** What is held back begins at a page, so that the rest can be written in whole pages. */
const pageBytes = 4096

/** A VHD that comes as a stream. */
export const vhdStream: StreamFormat<VhdHead> = {
  plan(head, options) {
    const plan = planLayout(parseVhdHead(head), options)
    if (!plan.supported) return plan
    const { dynamic } = plan.layout
    if (dynamic === undefined) return { ...plan, sizeBytes: undefined, spools: false }
    return { ...plan, spools: mostSpooledBytes(dynamic) > spoolMemoryBytes }
  },
  async open({ problems: [problem], sizeBytes, dynamic }, options) {
    if (problem !== undefined) throw new VhdError(problem)
    await options.onSize?.(dynamic === undefined ? undefined : sizeBytes)
    return dynamic === undefined ? new FixedVhdStream(options) : openDynamicVhdStream(dynamic, options)
  },
}

/**
 * A fixed VHD: its bytes are the disk, until the footer comes, which is held back. Only then the size is known, and
 * must be that of what came before.
 */
class FixedVhdStream implements StreamDecoder {
  readonly #options: StreamDecoderOptions
  /** The image's first bytes: a fixed disk has no footer there. */
  #first: Uint8Array = new Uint8Array()
  /** The last bytes that came, of which some may be footer. */
  #held: Uint8Array = new Uint8Array()
  #nextOffset = 0
  #bytesWritten = 0
  #failure: { readonly error: unknown } | undefined
  #placed: Promise<unknown> = Promise.resolve()

  constructor(options: StreamDecoderOptions) {
    this.#options = options
  }

  write(chunk: Uint8Array, offset: number): Promise<void> {
    if (offset !== this.#nextOffset) {
      const reason = `The stream goes on at ${this.#nextOffset}, not at ${offset}.`
      return Promise.reject(new InvalidError({ reason }))
    }
    if (this.#failure !== undefined || this.#options.signal?.aborted === true) {
      return Promise.reject((this.#failure?.error ?? this.#options.signal?.reason) as Error)
    }
    const placed = this.#place(chunk, offset)
    this.#placed = Promise.allSettled([this.#placed, placed])
    return placed
  }

  async #place(chunk: Uint8Array, offset: number): Promise<void> {
    const held = this.#held
    const heldStart = offset - held.length
    const end = offset + chunk.length
    this.#nextOffset = end
    if (this.#first.length < footerBytes) {
      this.#first = Buffer.concat([this.#first, chunk.subarray(0, footerBytes - this.#first.length)])
    }
    const keptStart = Math.max(heldStart, Math.floor(Math.max(0, end - footerBytes) / pageBytes) * pageBytes)
    const writes: Promise<void>[] = []
    if (keptStart <= offset) {
      this.#held = Buffer.concat([held.subarray(keptStart - heldStart), chunk])
      writes.push(this.#write(held.subarray(0, keptStart - heldStart), heldStart))
    } else {
      this.#held = chunk.slice(keptStart - offset)
      writes.push(this.#write(held, heldStart), this.#write(chunk.subarray(0, keptStart - offset), offset))
    }
    // Whatever became of one: the chunk is lent to both.
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === 'fulfilled') continue
      this.#failure ??= { error: outcome.reason }
      throw outcome.reason
    }
  }

  async #write(bytes: Uint8Array, offset: number): Promise<void> {
    if (bytes.length === 0) return
    await this.#options.target.write(bytes, offset)
    this.#bytesWritten += bytes.length
    const { onProgress } = this.#options
    onProgress?.({ stage: 'convert', completed: this.#bytesWritten, total: undefined, unit: 'bytes' })
  }

  async end(): Promise<StreamDecoderResult> {
    await this.#placed
    this.#options.signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure.error
    const size = this.#nextOffset
    const heldStart = size - this.#held.length
    const found = await findFooter({
      size,
      read: async (into, offset) => {
        const [bytes, start] = offset < heldStart ? [this.#first, 0] : [this.#held, heldStart]
        into.set(bytes.subarray(offset - start, offset - start + into.length))
      },
    })
    if ('rule' in found) throw new VhdError(found)
    const { footer, tailBytes, problems } = found
    const dataBytes = size - tailBytes
    const problem =
      problems.find(({ severity }) => severity === 'fatal') ??
      judgeSize(footer, dataBytes) ??
      judgeFixedSize(footer, dataBytes, dataBytes)
    if (problem !== undefined) throw new VhdError(problem)
    if (footer.type !== 'fixed' || footer.currentSizeBytes !== dataBytes) {
      throw new VhdError({
        rule: 'fixed-gap',
        reason: 'there are bytes between the disk and the footer',
        offset: dataBytes + 48,
        found: `${dataBytes} bytes before the footer`,
        accepted: `${footer.currentSizeBytes} bytes`,
      })
    }
    await this.#write(this.#held.subarray(0, dataBytes - heldStart), heldStart)
    return { virtualSizeBytes: dataBytes, bytesWritten: this.#bytesWritten }
  }

  async close(): Promise<void> {
    this.#failure ??= { error: new Error('The decoding of a stream was given up.') }
    await this.#placed
  }
}
