import type { Framing } from './response-head.ts'

/** Takes the framing off a body. */
export interface BodyDecoder {
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
export function createBodyDecoder(framing: Framing): BodyDecoder {
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
