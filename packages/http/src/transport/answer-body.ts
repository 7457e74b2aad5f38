import { collectBody } from './collected-body.ts'
import type { CollectedBody } from './collected-body.ts'
import { framingOf } from './http1.ts'
import type { Framing, ResponseHead } from './http1.ts'
import type { IdleWatch } from './timeouts.ts'

/** Takes a body. */
export interface BodyTaker {
  /** Takes the next part; a promise means: wait before the one after it. */
  take(bytes: Uint8Array): Promise<void> | undefined
  /** Memory that the next part is read into where that can be done; `take` then gets a view of its start. */
  nextBuffer?(): Uint8Array | undefined
}

/** What a service says about an error needs no more, and what is left is not read. */
export const maximumTextBytes: number = 64 * 1024

/** The body of an answer: its framing taken off, and handed to who wants it, or collected. */
export class AnswerBody {
  readonly head: ResponseHead
  readonly #decoder: BodyDecoder
  readonly #taker: BodyTaker | undefined
  readonly #collected: CollectedBody
  #full = false

  /** @param isEmpty whether it answers a `HEAD`: its headers are those of a body that does not come */
  constructor(head: ResponseHead, isEmpty: boolean, takeBody: (head: ResponseHead) => BodyTaker | undefined) {
    this.head = head
    this.#decoder = createBodyDecoder(isEmpty ? { kind: 'length', length: 0 } : framingOf(head))
    this.#taker = takeBody(head)
    this.#collected = collectBody(maximumTextBytes)
  }

  /** A body in chunks has their sizes between its parts: it can't be read in place. */
  nextBuffer(): Uint8Array | undefined {
    return this.#decoder.inPlace ? this.#taker?.nextBuffer?.() : undefined
  }

  /** @throws {SyntaxError} where the framing is broken; what the taker throws, as it is */
  take(bytes: Uint8Array, idle: IdleWatch | undefined): Promise<void> | undefined {
    const parts = this.#decoder.decode(bytes)
    // What frames a body is no progress.
    for (const part of parts) idle?.count(part.length)
    for (let index = 0; index < parts.length; index += 1) {
      const wait = this.#takePart(parts[index] ?? new Uint8Array())
      if (wait !== undefined) return this.#takeRest(wait, parts.slice(index + 1))
    }
    return undefined
  }

  async #takeRest(wait: Promise<void>, parts: readonly Uint8Array[]): Promise<void> {
    await wait
    for (const part of parts) {
      const next = this.#takePart(part)
      if (next !== undefined) await next
    }
  }

  #takePart(part: Uint8Array): Promise<void> | undefined {
    if (this.#taker !== undefined) return this.#taker.take(part)
    this.#full ||= !this.#collected.add(part)
    return undefined
  }

  /** Whether no more of it is wanted. */
  get ended(): boolean {
    return this.#decoder.complete || this.#full
  }

  /** Whether the connection could carry another request. */
  get isWhole(): boolean {
    return this.#decoder.complete && !this.#decoder.surplus
  }

  get wholeAtEnd(): boolean {
    return this.#decoder.wholeAtEnd
  }

  get isRefusal(): boolean {
    return this.#taker === undefined && this.head.status >= 300
  }

  /** What a service says, if nobody took it. */
  get text(): string {
    return this.#taker === undefined ? this.#collected.words(this.head.headers) : ''
  }
}

/** Takes the framing off a body. */
interface BodyDecoder {
  /** The parts of the body that are in these bytes; they are views. @throws {SyntaxError} where the framing is broken */
  decode(bytes: Uint8Array): readonly Uint8Array[]
  /** Whether the body has come to its end. */
  readonly complete: boolean
  /** Whether what comes from the connection is the body as it is. */
  readonly inPlace: boolean
  /** Whether bytes came that are not the body's. */
  readonly surplus: boolean
  /** Whether the body is whole when the connection ends now. */
  readonly wholeAtEnd: boolean
}

/** A body of a known length, or one that ends with its connection. */
class PlainDecoder implements BodyDecoder {
  readonly inPlace = true
  surplus = false
  #left: number

  constructor(length: number) {
    this.#left = length
  }

  decode(bytes: Uint8Array): readonly Uint8Array[] {
    const part = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes
    this.#left -= part.length
    this.surplus ||= part.length < bytes.length
    return part.length === 0 ? [] : [part]
  }

  get complete(): boolean {
    return this.#left === 0
  }

  get wholeAtEnd(): boolean {
    return this.complete || this.#left === Number.POSITIVE_INFINITY
  }
}

/** Longest size line or trailer line. */
const maximumLineBytes = 4096
/** All trailers, or all extensions of chunks, together. */
const maximumExtraBytes = 16 * maximumLineBytes

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-7.1 */
class ChunkedDecoder implements BodyDecoder {
  readonly inPlace = false
  surplus = false
  #state: 'size' | 'data' | 'after-data' | 'trailer' | 'complete' = 'size'
  #line = ''
  #left = 0
  #trailerBytes = 0
  #extensionBytes = 0

  get complete(): boolean {
    return this.#state === 'complete'
  }

  get wholeAtEnd(): boolean {
    return this.complete
  }

  decode(bytes: Uint8Array): readonly Uint8Array[] {
    const parts: Uint8Array[] = []
    let position = 0
    while (position < bytes.length && !this.complete) {
      if (this.#state !== 'data') {
        position = this.#takeLine(bytes, position)
        continue
      }
      const length = Math.min(this.#left, bytes.length - position)
      parts.push(bytes.subarray(position, position + length))
      position += length
      this.#left -= length
      if (this.#left === 0) this.#state = 'after-data'
    }
    this.surplus ||= position < bytes.length
    return parts
  }

  /** @returns where the line, or what there is of it, ends */
  #takeLine(bytes: Uint8Array, start: number): number {
    const end = bytes.indexOf(10, start)
    const stop = end === -1 ? bytes.length : end
    if (this.#line.length + stop - start > maximumLineBytes) {
      throw new SyntaxError('The answer has an endless line')
    }
    this.#line += Buffer.from(bytes.buffer, bytes.byteOffset + start, stop - start).toString('latin1')
    this.#trailerBytes += this.#state === 'trailer' ? stop - start + 1 : 0
    if (this.#trailerBytes > maximumExtraBytes) throw new SyntaxError('The answer has endless trailers')
    if (end === -1) return bytes.length
    this.#endLine()
    return end + 1
  }

  #endLine(): void {
    const text = this.#line.endsWith('\r') ? this.#line.slice(0, -1) : this.#line
    this.#line = ''
    if (this.#state === 'size') {
      const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(text)?.[1]
      if (size === undefined) throw new SyntaxError('The answer has a malformed chunk')
      this.#extensionBytes += text.length - size.length
      if (this.#extensionBytes > maximumExtraBytes) {
        throw new SyntaxError('The answer has endless chunk extensions')
      }
      this.#left = Number.parseInt(size, 16)
      this.#state = this.#left === 0 ? 'trailer' : 'data'
    } else if (this.#state === 'after-data') {
      if (text !== '') throw new SyntaxError('The answer has a malformed chunk')
      this.#state = 'size'
    } else if (text === '') {
      this.#state = 'complete'
    }
  }
}

function createBodyDecoder(framing: Framing): BodyDecoder {
  if (framing.kind === 'chunked') return new ChunkedDecoder()
  return new PlainDecoder(framing.kind === 'length' ? framing.length : Number.POSITIVE_INFINITY)
}
