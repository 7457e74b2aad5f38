/** What a request begins with. */
export interface RequestHead {
  readonly url: URL
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?:
    | { readonly size: number | undefined; readonly expectsContinue?: boolean | undefined }
    | undefined
}

/**
 * Request line and headers, as they are sent. After a body the connection is closed.
 *
 * @throws {TypeError} where a header has a forbidden character
 */
export function requestHead({ url, method, headers, body }: RequestHead, keepAlive: boolean): string {
  const all: Record<string, string> = {
    Host: url.host,
    'Accept-Encoding': 'identity',
    Connection: keepAlive && body === undefined ? 'keep-alive' : 'close',
    ...headers,
  }
  if (body !== undefined) {
    if (body.size === undefined) all['Transfer-Encoding'] = 'chunked'
    else all['Content-Length'] = String(body.size)
    if (body.size !== 0 && body.expectsContinue !== false) all['Expect'] = '100-continue'
  }
  const lines = Object.entries(all).map(([name, value]) => {
    if (/[^\t\u0020-\u007e\u0080-\u00ff]/.test(value))
      throw new TypeError(`The header ${name} has a forbidden character`)
    return `${name}: ${value}\r\n`
  })
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`
}
