/** Keeps a small body. */
export interface CollectedBody {
  /** Returns false where it has more than the limit; the surplus is not kept. */
  add(bytes: Uint8Array): boolean
  /** The body as text. @throws {SyntaxError} where it is encoded in a way that is not known, or becomes too large */
  text(headers: ReadonlyMap<string, string>): string
  /** The same for a person; where it can't be decoded, why. */
  words(headers: ReadonlyMap<string, string>): string
}

const firstBytes = 4096

/** One buffer that grows: a body of many tiny chunks costs no more than its bytes. */
export function collectBody(maximumBytes: number): CollectedBody {
  let buffer = Buffer.alloc(0)
  let length = 0
  const text = (headers: ReadonlyMap<string, string>): string => {
    const bytes = buffer.subarray(0, length)
    const codings = codingsOf(headers)
    return (codings.length === 0 ? bytes : decodeBody(bytes, codings, maximumBytes)).toString('utf8')
  }
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
    text,
    words(headers) {
      try {
        return text(headers)
      } catch (error) {
        if (error instanceof SyntaxError) return error.message
        throw error
      }
    },
  }
}

/** How an answer's body is encoded, in the order in which that was done; empty where it is as it is. */
export function codingsOf(headers: ReadonlyMap<string, string>): readonly string[] {
  const names = (headers.get('content-encoding') ?? '').toLowerCase().split(',')
  return names
    .map((name) => name.trim().replace(/^x-/, ''))
    .filter((name) => !['', 'identity'].includes(name))
}

/** More than one inside the other is nobody's honest answer. */
const maximumCodings = 2

/**
 * Takes the encoding off a small body. Nobody was asked for one, but some proxies compress all the same.
 *
 * @throws {SyntaxError} naming an encoding that is not known, and where the body is damaged or becomes too large
 */
function decodeBody(bytes: Buffer, codings: readonly string[], maximumBytes: number): Buffer {
  if (codings.length > maximumCodings) throw new SyntaxError('The answer is encoded more than twice')
  return codings.toReversed().reduce((body, coding) => decodeOne(body, coding, maximumBytes), bytes)
}

function decodeOne(body: Buffer, coding: string, maxOutputLength: number): Buffer {
  // Loaded only here: hardly any answer needs it.
  const zlib = process.getBuiltinModule('node:zlib')
  const limits = { maxOutputLength }
  try {
    switch (coding) {
      case 'gzip':
        return zlib.gunzipSync(body, limits)
      case 'deflate':
        // As the standard says, or without the frame of zlib, as some servers understand it.
        return ((body[0] ?? 0) & 0x0f) === 8
          ? zlib.inflateSync(body, limits)
          : zlib.inflateRawSync(body, limits)
      case 'br':
        return zlib.brotliDecompressSync(body, limits)
      default:
        break
    }
  } catch (error) {
    throw new SyntaxError(`The answer is not what its encoding ${coding} promises, or is endless`, {
      cause: error,
    })
  }
  throw new SyntaxError(
    `The answer has the encoding ${JSON.stringify(coding.slice(0, 40))}, which nobody asked for`,
  )
}
