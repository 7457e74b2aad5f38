import { InvalidError } from '@disk-image/core'
import type { Proxy } from './proxy.ts'

/** What a request begins with. */
interface RequestHead {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** The proxy that it is handed to, if it is; it says then for which server it is. */
  readonly proxy?: Proxy | undefined
  /** A small body that is sent with the head. */
  readonly text?: string | undefined
  readonly body?:
    | { readonly size: number | undefined; readonly expectsContinue?: boolean | undefined }
    | undefined
}

/**
 * Request line and headers, as they are sent. After a body that is not small the connection is closed.
 *
 * @throws {InvalidError} where a header has a forbidden character
 */
export function requestHead(request: RequestHead, keepAlive: boolean): string {
  const { url, method, headers, text, body, proxy } = request
  const all: Record<string, string> = {
    Host: url.host,
    'Accept-Encoding': 'identity',
    Connection: keepAlive && body === undefined ? 'keep-alive' : 'close',
    ...headers,
  }
  if (proxy?.authorization !== undefined) all['Proxy-Authorization'] = proxy.authorization
  const size = text === undefined ? body?.size : Buffer.byteLength(text)
  if (size !== undefined) all['Content-Length'] = String(size)
  else if (body !== undefined) all['Transfer-Encoding'] = 'chunked'
  if (body !== undefined && body.size !== 0 && body.expectsContinue !== false) all['Expect'] = '100-continue'
  const lines = Object.entries(all).map(([name, value]) => {
    if (/[^\t\u0020-\u007e\u0080-\u00ff]/.test(value))
      throw new InvalidError({ reason: `The header ${name} has a character that no header may have` })
    return `${name}: ${value}\r\n`
  })
  const path = `${url.pathname}${url.search}`
  return `${method} ${proxy === undefined ? path : `${url.protocol}//${url.host}${path}`} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** Status line and headers of an answer. */
export interface ResponseHead {
  readonly status: number
  /** Names in lower case; a header that came several times is joined with `, `. */
  readonly headers: ReadonlyMap<string, string>
  /** Whether the connection stays open for a further request. */
  readonly persistent: boolean
}

/** Headers longer than this are refused. */
const maximumHeadBytes: number = 64 * 1024

/** Parses what came before the empty line. @throws {SyntaxError} where it is no HTTP/1 answer */
function parseResponseHead(text: string): ResponseHead {
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

/** Interim answers without end: whoever sends them does so again. */
export class EndlessAnswersError extends SyntaxError {}

/** Collects the head of an answer; interim ones (1xx) before it are passed over, within a limit. */
export class HeadReader {
  readonly #maximumInterimAnswers: number
  #bytes = Buffer.alloc(0)
  #interimAnswers = 0

  constructor(maximumInterimAnswers: number) {
    this.#maximumInterimAnswers = maximumInterimAnswers
  }

  /** Whether nothing of an answer came. */
  get empty(): boolean {
    return this.#bytes.length === 0 && this.#interimAnswers === 0
  }

  /**
   * @param onContinue called at `100 Continue`
   * @returns the head with what came after it, once it is whole
   * @throws {SyntaxError} where it is no HTTP/1 answer, or has no end
   */
  add(
    bytes: Uint8Array,
    onContinue?: () => void,
  ): { readonly head: ResponseHead; readonly rest: Uint8Array } | undefined {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    for (;;) {
      const end = this.#bytes.indexOf('\r\n\r\n')
      if (end === -1 || end > maximumHeadBytes) {
        if (this.#bytes.length > maximumHeadBytes) throw new SyntaxError('The answer has endless headers')
        return undefined
      }
      const head = parseResponseHead(this.#bytes.toString('latin1', 0, end))
      this.#bytes = this.#bytes.subarray(end + 4)
      if (head.status >= 200) {
        const rest = this.#bytes
        this.#bytes = Buffer.alloc(0)
        return { head, rest }
      }
      if (head.status === 101) throw new SyntaxError('The answer changes the protocol')
      this.#interimAnswers += 1
      if (this.#interimAnswers > this.#maximumInterimAnswers) {
        throw new EndlessAnswersError('The answer has endless interim answers')
      }
      if (head.status === 100) onContinue?.()
    }
  }
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
