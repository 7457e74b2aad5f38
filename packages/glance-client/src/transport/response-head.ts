/** Status line and headers of an answer. */
export interface ResponseHead {
  readonly status: number
  /** Names in lower case; a header that came several times is joined with `, `. */
  readonly headers: ReadonlyMap<string, string>
  /** Whether the connection stays open for a further request. */
  readonly persistent: boolean
}

/** Headers longer than this are refused. */
export const maximumHeadBytes: number = 64 * 1024

/** Parses what came before the empty line. @throws {SyntaxError} where it is no HTTP/1 answer */
export function parseResponseHead(text: string): ResponseHead {
  const [statusLine = '', ...lines] = text.split('\r\n')
  const [, version, status] = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [^\0\n\r]*)?$/.exec(statusLine) ?? []
  if (status === undefined) throw new SyntaxError('The answer is not HTTP')
  const headers = new Map<string, string>()
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(name) || /[\0\n\r]/.test(value)) {
      throw new SyntaxError('The answer has a malformed header')
    }
    const known = headers.get(name)
    if (known !== undefined && name === 'content-length' && known !== value) {
      throw new SyntaxError('The answer has two lengths')
    }
    headers.set(name, known === undefined || name === 'content-length' ? value : `${known}, ${value}`)
  }
  const persistent = version === '1' && !/(?:^|,)\s*close\s*(?:,|$)/i.test(headers.get('connection') ?? '')
  return { status: Number(status), headers, persistent }
}

/** How the end of a body is told. */
export type Framing =
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'end-of-connection' }

/** @throws {SyntaxError} where the headers contradict each other */
export function framingOf({ status, headers }: ResponseHead): Framing {
  if (status === 204 || status === 304) return { kind: 'length', length: 0 }
  const encoding = headers.get('transfer-encoding')?.toLowerCase()
  const length = headers.get('content-length')
  if (encoding !== undefined) {
    if (encoding !== 'chunked' || length !== undefined) {
      throw new SyntaxError('The answer has an unknown framing')
    }
    return { kind: 'chunked' }
  }
  if (length === undefined) return { kind: 'end-of-connection' }
  if (!/^\d{1,15}$/.test(length)) throw new SyntaxError('The answer has a malformed length')
  return { kind: 'length', length: Number(length) }
}
