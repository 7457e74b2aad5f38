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
export function decodeBody(bytes: Buffer, codings: readonly string[], maximumBytes: number): Buffer {
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
