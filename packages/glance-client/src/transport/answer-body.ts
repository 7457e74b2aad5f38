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
  room?(): Uint8Array | undefined
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

  constructor(head: ResponseHead, takeBody: (head: ResponseHead) => BodyTaker | undefined) {
    this.head = head
    this.#decoder = createBodyDecoder(framingOf(head))
    this.#taker = takeBody(head)
    this.#collected = collectBody(maximumTextBytes)
  }

  /** A body in chunks has their sizes between its parts: it can't be read in place. */
  room(): Uint8Array | undefined {
    return this.#decoder.inPlace ? this.#taker?.room?.() : undefined
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

/** @see https://www.rfc-editor.org/rfc/rfc9112#section-6 */
function createBodyDecoder(framing: Framing): BodyDecoder {
  if (framing.kind === 'chunked') return chunkedDecoder()
  let left = framing.kind === 'length' ? framing.length : Number.POSITIVE_INFINITY
  let surplus = false
  return {
    inPlace: true,
    decode(bytes) {
      const part = bytes.length > left ? bytes.subarray(0, left) : bytes
      left -= part.length
      surplus ||= part.length < bytes.length
      return part.length === 0 ? [] : [part]
    },
    get complete() {
      return left === 0
    },
    get surplus() {
      return surplus
    },
    get wholeAtEnd() {
      return left === 0 || framing.kind === 'end-of-connection'
    },
  }
}

/** Longest size line or trailer line. */
const maximumLineBytes = 4096
/** All trailers, or all extensions of chunks, together. */
const maximumExtraBytes = 16 * maximumLineBytes

function chunkedDecoder(): BodyDecoder {
  let state: 'size' | 'data' | 'after-data' | 'trailer' | 'complete' = 'size'
  let line = ''
  let left = 0
  let trailerBytes = 0
  let extensionBytes = 0
  let surplus = false

  const endOfLine = (): void => {
    const text = line.endsWith('\r') ? line.slice(0, -1) : line
    line = ''
    if (state === 'size') {
      const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(text)?.[1]
      if (size === undefined) throw new SyntaxError('The answer has a malformed chunk')
      extensionBytes += text.length - size.length
      if (extensionBytes > maximumExtraBytes) throw new SyntaxError('The answer has endless chunk extensions')
      left = Number.parseInt(size, 16)
      state = left === 0 ? 'trailer' : 'data'
    } else if (state === 'after-data') {
      if (text !== '') throw new SyntaxError('The answer has a malformed chunk')
      state = 'size'
    } else if (text === '') {
      state = 'complete'
    }
  }
  const takeLine = (bytes: Uint8Array, start: number): number => {
    const end = bytes.indexOf(10, start)
    const stop = end === -1 ? bytes.length : end
    if (line.length + stop - start > maximumLineBytes) throw new SyntaxError('The answer has an endless line')
    line += Buffer.from(bytes.buffer, bytes.byteOffset + start, stop - start).toString('latin1')
    trailerBytes += state === 'trailer' ? stop - start + 1 : 0
    if (trailerBytes > maximumExtraBytes) throw new SyntaxError('The answer has endless trailers')
    if (end === -1) return bytes.length
    endOfLine()
    return end + 1
  }
  return {
    inPlace: false,
    decode(bytes) {
      const parts: Uint8Array[] = []
      let position = 0
      while (position < bytes.length && state !== 'complete') {
        if (state === 'data') {
          const length = Math.min(left, bytes.length - position)
          parts.push(bytes.subarray(position, position + length))
          position += length
          left -= length
          if (left === 0) state = 'after-data'
        } else {
          position = takeLine(bytes, position)
        }
      }
      surplus ||= position < bytes.length
      return parts
    },
    get complete() {
      return state === 'complete'
    },
    get surplus() {
      return surplus
    },
    get wholeAtEnd() {
      return state === 'complete'
    },
  }
}
