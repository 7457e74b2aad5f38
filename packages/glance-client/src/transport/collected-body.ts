import { codingsOf, decodeBody } from './content-encoding.ts'

/** Keeps a small body. */
export interface CollectedBody {
  /** Returns false where it has more than the limit; the surplus is not kept. */
  add(bytes: Uint8Array): boolean
  /** The body as text. @throws {SyntaxError} where it is encoded in a way that is not known, or becomes too large */
  text(headers: ReadonlyMap<string, string>): string
}

const firstBytes = 4096

/** One buffer that grows: a body of many tiny chunks costs no more than its bytes. */
export function collectBody(maximumBytes: number): CollectedBody {
  let buffer = Buffer.alloc(0)
  let length = 0
  return {
    add(bytes) {
      const taken = bytes.subarray(0, maximumBytes - length)
      if (length + taken.length > buffer.length) {
        const grown = Buffer.alloc(Math.max(firstBytes, buffer.length * 2, length + taken.length))
        buffer.copy(grown, 0, 0, length)
        buffer = grown
      }
      buffer.set(taken, length)
      length += taken.length
      return taken.length === bytes.length
    },
    text(headers) {
      const bytes = buffer.subarray(0, length)
      const codings = codingsOf(headers)
      return (codings.length === 0 ? bytes : decodeBody(bytes, codings, maximumBytes)).toString('utf8')
    },
  }
}
