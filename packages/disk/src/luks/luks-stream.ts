import { InvalidError, MiB, type RandomAccessReader } from '@disk-image/core'
import { refuse } from '../errors.ts'
import { planLayout } from '../stream/stream-decoder.ts'
import type {
  StreamDecoder,
  StreamDecoderOptions,
  StreamDecoderResult,
  StreamFormat,
} from '../stream/stream-decoder.ts'
import type { CipherPool } from './cipher-pool.ts'
import { luksHeadBytes, parseLuks } from './layout.ts'
import { type LuksLayout, luksStripes } from './luks-layout.ts'
import { toDiskFormatError, unlockContainer } from './open-luks.ts'

/** More is never kept of a header: tools put all key slots into 16 MiB. */
const mostHeaderBytes = 32 * MiB
/** Parts that are decrypted or written at once. */
const parts = 6

/** A LUKS container that comes as a stream: its header, with what the key is made of, comes first. */
export const luksStream: StreamFormat<LuksLayout> = {
  plan(head, options) {
    const { fileBytes = Number.POSITIVE_INFINITY } = options
    if (luksHeadBytes(head.subarray(0, 4096)) > head.length) {
      return { supported: false, reason: 'Its header is longer than what is known of it.' }
    }
    const layout = parseLuks(head, fileBytes)
    const isKnown = Number.isFinite(layout.sizeBytes)
    const plan = planLayout(layout, isKnown ? options : { maximumSizeBytes: Number.POSITIVE_INFINITY })
    if (!plan.supported) return plan
    const [other] = layout.unsupported
    if (other !== undefined) return { supported: false, reason: `${other.reason}.` }
    if (headerBytesOf(layout, head) > mostHeaderBytes) {
      return { supported: false, reason: 'Its key slots are far behind its header.' }
    }
    return { supported: true, sizeBytes: isKnown ? layout.sizeBytes : undefined, spools: false, layout }
  },
  open: (layout, options) => Promise.resolve(new LuksStream(layout, options)),
}

/** Bytes from the start with which a container can be unlocked. */
function headerBytesOf({ slots, keyBytes }: LuksLayout, head: Uint8Array): number {
  const material = Math.ceil((keyBytes * luksStripes) / 512) * 512
  return Math.max(
    luksHeadBytes(head.subarray(0, 4096)),
    ...slots.map(({ areaOffset }) => areaOffset + material),
  )
}

/** A part of the disk that is being filled, decrypted or written. */
interface Part {
  readonly memory: Uint8Array
  readonly offset: number
  used: number
}

/** Decrypts parts of a MiB on all cores, and hands them on in the order of the disk. */
class LuksStream implements StreamDecoder {
  readonly #options: StreamDecoderOptions
  readonly #planned: LuksLayout
  readonly #passphrase: Uint8Array
  /** The start of the image, until it is unlocked. */
  #header: Uint8Array = new Uint8Array(0)
  #headerBytes: number | undefined
  #unlocked: { readonly layout: LuksLayout; readonly pool: CipherPool } | undefined
  #nextOffset = 0
  #free: Uint8Array[] = []
  #filling: Part | undefined
  /** Bytes of the disk that were taken, and handed on. */
  #taken = 0
  #bytesWritten = 0
  #failure: { readonly error: unknown } | undefined
  /** Settles when all chunks are taken; when all parts are decrypted; and when all are handed on. */
  #chunks: Promise<unknown> = Promise.resolve()
  #working = new Set<Promise<unknown>>()
  #placed: Promise<void> = Promise.resolve()
  #released: (() => void) | undefined

  constructor(layout: LuksLayout, options: StreamDecoderOptions) {
    if (options.passphrase === undefined) {
      throw new InvalidError({ reason: 'A LUKS container needs its passphrase.' })
    }
    this.#planned = layout
    this.#options = options
    this.#passphrase = new Uint8Array(options.passphrase)
  }

  write(chunk: Uint8Array, offset: number): Promise<void> {
    if (offset !== this.#nextOffset) {
      const reason = `The stream goes on at ${this.#nextOffset}, not at ${offset}.`
      return Promise.reject(new InvalidError({ reason }))
    }
    this.#nextOffset += chunk.length
    const taken = this.#chunks.then(() => this.#take(chunk, offset))
    this.#chunks = taken.catch((error: unknown) => this.#fail(error))
    return taken
  }

  async #take(chunk: Uint8Array, offset: number): Promise<void> {
    this.#throwIfStopped()
    if (this.#unlocked === undefined) {
      this.#keep(chunk, offset)
      if (this.#headerBytes === undefined || offset + chunk.length < this.#headerBytes) return
      await this.#unlock(this.#planned.sizeBytes + this.#planned.payloadOffset)
    }
    await this.#fill(chunk, offset)
  }

  /** Keeps as much of the start as unlocking takes. */
  #keep(chunk: Uint8Array, offset: number): void {
    if (this.#headerBytes !== undefined) {
      this.#header.set(chunk.subarray(0, Math.max(0, this.#headerBytes - offset)), offset)
      return
    }
    const start = Buffer.concat([this.#header, chunk])
    this.#header = start
    if (start.length < 4096 || start.length < luksHeadBytes(start.subarray(0, 4096))) return
    this.#headerBytes = headerBytesOf(this.#planned, start)
    this.#header = new Uint8Array(this.#headerBytes)
    this.#header.set(start.subarray(0, this.#headerBytes))
  }

  /** @param fileBytes Infinity where that is not known */
  async #unlock(fileBytes: number): Promise<void> {
    const kept = this.#header
    const reader: RandomAccessReader = {
      size: fileBytes,
      read: (offset, length) => Promise.resolve(kept.subarray(offset, offset + length)),
    }
    try {
      const { layout, pool } = await unlockContainer(reader, {
        passphrase: this.#passphrase,
        signal: this.#options.signal,
      })
      this.#unlocked = { layout, pool }
      this.#free = pool.allocate(parts)
    } catch (error) {
      throw toDiskFormatError(error)
    } finally {
      this.#passphrase.fill(0)
      kept.fill(0)
      this.#header = new Uint8Array(0)
    }
  }

  /** Copies what of a chunk is the disk's into parts, and sends those that are full on their way. */
  async #fill(chunk: Uint8Array, offset: number): Promise<void> {
    const { payloadOffset, sizeBytes } = this.#layout
    const start = Math.max(0, payloadOffset - offset)
    const end = Math.min(chunk.length, payloadOffset + sizeBytes - offset)
    for (let at = start; at < end;) {
      const part = (this.#filling ??= { memory: await this.#nextMemory(), offset: this.#taken, used: 0 })
      const bytes = chunk.subarray(at, Math.min(end, at + part.memory.length - part.used))
      part.memory.set(bytes, part.used)
      part.used += bytes.length
      this.#taken += bytes.length
      at += bytes.length
      if (part.used === part.memory.length) this.#send(part)
    }
  }

  async #nextMemory(): Promise<Uint8Array> {
    for (;;) {
      this.#throwIfStopped()
      const memory = this.#free.pop()
      if (memory !== undefined) return memory
      await new Promise<void>((resolve) => {
        this.#released = resolve
      })
    }
  }

  #send({ memory, offset, used }: Part): void {
    this.#filling = undefined
    const { pool, layout } = this.#unlocked!
    const { sectorBytes, vectorOffset } = layout
    const bytes = memory.subarray(0, used)
    const decrypted = pool.run('decrypt', bytes, { first: vectorOffset + offset / 512, sectorBytes })
    const settled = decrypted.catch(() => undefined).finally(() => this.#working.delete(settled))
    this.#working.add(settled)
    this.#placed = this.#placed
      .then(() => decrypted)
      .then(() => this.#place(bytes, offset))
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#free.push(memory)
        this.#release()
      })
  }

  async #place(bytes: Uint8Array, offset: number): Promise<void> {
    this.#throwIfStopped()
    const { target, onProgress } = this.#options
    await target.write(bytes, offset)
    this.#bytesWritten += bytes.length
    const { sizeBytes } = this.#layout
    const total = Number.isFinite(sizeBytes) ? sizeBytes : undefined
    onProgress?.({ stage: 'convert', completed: this.#bytesWritten, total, unit: 'bytes' })
  }

  async end(): Promise<StreamDecoderResult> {
    try {
      await this.#chunks
      this.#throwIfStopped()
      // What is too short for its key slots is refused by who reads them.
      if (this.#unlocked === undefined) await this.#unlock(this.#nextOffset)
      const { sectorBytes, sizeBytes, payloadOffset } = this.#layout
      const whole = Math.floor(this.#taken / sectorBytes) * sectorBytes
      if (this.#nextOffset < payloadOffset || (Number.isFinite(sizeBytes) && whole < sizeBytes)) {
        refuse('luks-truncated', 'The file ends before its encrypted data', {
          found: `${this.#nextOffset} bytes`,
          offset: this.#nextOffset,
          accepted: `at least ${payloadOffset + (Number.isFinite(sizeBytes) ? sizeBytes : 0)} bytes`,
        })
      }
      const rest = this.#filling
      if (rest !== undefined) {
        rest.used -= this.#taken - whole
        if (rest.used > 0) this.#send(rest)
      }
      await this.#placed
      this.#throwIfStopped()
      return { virtualSizeBytes: whole, bytesWritten: this.#bytesWritten }
    } catch (error) {
      this.#fail(error)
      throw error
    } finally {
      await this.close()
    }
  }

  async close(): Promise<void> {
    this.#fail(new Error('The decoding of a stream was given up.'))
    await this.#chunks
    await Promise.all(this.#working)
    await this.#placed
    this.#passphrase.fill(0)
    this.#header.fill(0)
    await this.#unlocked?.pool.close()
  }

  get #layout(): LuksLayout {
    return this.#unlocked?.layout ?? this.#planned
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#release()
  }

  #release(): void {
    this.#released?.()
    this.#released = undefined
  }

  #throwIfStopped(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    this.#options.signal?.throwIfAborted()
  }
}
