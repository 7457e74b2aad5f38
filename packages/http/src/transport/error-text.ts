import { printable, redact } from '@disk-image/core'
import type { HttpStatusErrorInit } from '../errors.ts'
import { plainUrl, retryAfterMs } from './http.ts'
import type { HttpResponse } from './http.ts'
import { maskSecrets } from './mask-secrets.ts'

/** More than this is not looked at. */
const maximumInput = 64 * 1024
const maximumText = 500

/**
 * What a service says about an error, as one plain line: from Glance's and Keystone's JSON, a proxy's HTML or text.
 *
 * @param secrets what the request carried: some services and proxies repeat it
 */
export function errorText(body: string, secrets: readonly string[] = []): string {
  const input = body.slice(0, maximumInput)
  const text = maskSecrets(fromJson(input) ?? input, secrets)
  return plainLine(withoutHead(text), secrets)
}

/** A header of an answer, as one plain line. */
export function headerText(value: string | undefined, secrets: readonly string[]): string | undefined {
  if (value === undefined) return undefined
  const text = plainLine(maskSecrets(value.slice(0, 4096), secrets), secrets).slice(0, 100)
  return text === '' ? undefined : text
}

/** Without markup. What is put together by that is looked at once more. */
function plainLine(markup: string, secrets: readonly string[]): string {
  const plain = markup
    .replace(/<(script|style)\b[^<]*<\/\1>/gi, ' ')
    .replace(/<[^<>]{0,200}>/g, ' ')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&nbsp;/g, ' ')
    .replace(/&#0?39;|&#x27;|&apos;/g, "'")
    .replace(/&amp;/g, '&')
    // oxlint-disable-next-line no-control-regex -- the ends of lines are blanks here, and other controls, too
    .replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ')
    .trim()
  return printable(redact(maskSecrets(plain, secrets)), maximumText)
}

/** The title of a page stands in its body once more. */
function withoutHead(html: string): string {
  const lower = html.toLowerCase()
  const body = lower.indexOf('<body')
  const end = body === -1 ? lower.indexOf('</head>') : body
  const rest = end === -1 ? '' : html.slice(end)
  return rest.replace(/<[^<>]{0,200}>/g, '').trim() === '' ? html : rest
}

function fromJson(body: string): string | undefined {
  if (!/^\s*\{/.test(body)) return undefined
  try {
    const value = JSON.parse(body) as Record<string, unknown>
    // A registry has a list of them.
    const [first] = Array.isArray(value['errors']) ? (value['errors'] as unknown[]) : []
    const error = value['error'] ?? value['Error'] ?? value['fault'] ?? first
    const inner = typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : value
    const text =
      inner['message'] ??
      inner['description'] ??
      inner['error_description'] ??
      inner['title'] ??
      inner['faultstring']
    return typeof text === 'string' ? text : typeof error === 'string' ? error : undefined
  } catch {
    return undefined
  }
}

/**
 * What an answer with a status from 300 on becomes, for an `HttpStatusError` or a class of it.
 *
 * @param secrets what the request carried
 * @param requestIdHeader the header in which the service names the request; a proxy that answers itself leaves it out
 */
export function describeStatus(
  method: string,
  url: URL,
  response: Omit<HttpResponse, 'url'>,
  secrets: readonly string[],
  requestIdHeader: string,
): HttpStatusErrorInit {
  const { status, headers, text, proxy } = response
  const location = status < 400 ? headers.get('location') : undefined
  const given =
    proxy === undefined || headers.has(requestIdHeader)
      ? undefined
      : `the proxy ${proxy} or the server behind it`
  return {
    status,
    method,
    url: plainUrl(url),
    detail: location === undefined ? errorText(text, secrets) : redirectText(url, location, secrets),
    requestId: headerText(headers.get(requestIdHeader), secrets),
    proxy: given ?? proxyOf(status, headers, secrets),
    retryAfterMs: retryAfterMs(headers),
  }
}

/** Of a redirect only where it leads: the rest may be secret. */
export function redirectText(url: URL, location: string, secrets: readonly string[]): string {
  const target = URL.canParse(location, url.href) ? new URL(location, url) : undefined
  const origin = headerText(target?.origin, secrets)
  if (target === undefined || origin === undefined || !/^https?:$/.test(target.protocol)) {
    return 'it redirects to what is no http or https URL'
  }
  if (target.origin === url.origin) return `it redirects to another path of ${origin}, which is not followed`
  return `it redirects to ${origin}, where nothing secret is sent: is that the address to give?`
}

/** Statuses that only somebody in between answers with, who is named. */
export function proxyOf(
  status: number,
  headers: ReadonlyMap<string, string>,
  secrets: readonly string[],
): string | undefined {
  if (![407, 502, 504].includes(status)) return undefined
  const names = [headers.get('via'), headers.get('server')].filter((name) => (name ?? '') !== '')
  const name = headerText(names.join(', '), secrets)
  return `a proxy on the way${name === undefined ? '' : ` (${name})`}`
}
