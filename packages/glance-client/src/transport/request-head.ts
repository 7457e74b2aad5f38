import { InvalidError } from '@disk-image/core'
import type { Proxy } from './proxy.ts'

/** What a request begins with. */
export interface RequestHead {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** The proxy that it is handed to, if it is; it says then for which server it is. */
  readonly proxy?: Proxy | undefined
  readonly body?:
    | { readonly size: number | undefined; readonly expectsContinue?: boolean | undefined }
    | undefined
}

/**
 * Request line and headers, as they are sent. After a body the connection is closed.
 *
 * @throws {InvalidError} where a header has a forbidden character
 */
export function requestHead({ url, method, headers, body, proxy }: RequestHead, keepAlive: boolean): string {
  const all: Record<string, string> = {
    Host: url.host,
    'Accept-Encoding': 'identity',
    Connection: keepAlive && body === undefined ? 'keep-alive' : 'close',
    ...headers,
  }
  if (proxy?.authorization !== undefined) all['Proxy-Authorization'] = proxy.authorization
  if (body !== undefined) {
    if (body.size === undefined) all['Transfer-Encoding'] = 'chunked'
    else all['Content-Length'] = String(body.size)
    if (body.size !== 0 && body.expectsContinue !== false) all['Expect'] = '100-continue'
  }
  const lines = Object.entries(all).map(([name, value]) => {
    if (/[^\t\u0020-\u007e\u0080-\u00ff]/.test(value))
      throw new InvalidError({ reason: `The header ${name} has a character that no header may have` })
    return `${name}: ${value}\r\n`
  })
  const path = `${url.pathname}${url.search}`
  return `${method} ${proxy === undefined ? path : `${url.protocol}//${url.host}${path}`} HTTP/1.1\r\n${lines.join('')}\r\n`
}
