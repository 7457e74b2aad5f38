import net from 'node:net'

import { ConfigurationError, ConnectionBrokenError, connectionReason, connectionText } from '../errors.ts'
import { maskSecrets, secretsOf } from './mask-secrets.ts'

/** Through which proxies servers are reached. */
export interface ProxyOptions {
  /** For servers on http: an http or https URL, with user name and password where the proxy wants them. */
  readonly http?: string | undefined
  /** The same for servers on https, which are reached with CONNECT and verified as without a proxy. */
  readonly https?: string | undefined
  /**
   * Servers that are reached without: a name with all below it, an address, a network (`10.0.0.0/8`), each with or
   * without a port, or `*`; commas or blanks between.
   */
  readonly noProxy?: string | undefined
}

/** A proxy. */
export interface Proxy {
  /** Without user name and password. */
  readonly url: URL
  /** The value of `Proxy-Authorization`. For the proxy only. */
  readonly authorization: string | undefined
}

/**
 * The proxies that an environment names, as curl reads it: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`. Where
 * both cases are there, lower case counts; `HTTP_PROXY` is the header `Proxy` of a request in a CGI program.
 */
export function proxyFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ProxyOptions | undefined {
  const value = (name: string): string | undefined => {
    const upper =
      name === 'http_proxy' && environment['REQUEST_METHOD'] !== undefined ? undefined : name.toUpperCase()
    const found = environment[name] ?? (upper === undefined ? undefined : environment[upper])
    return found === undefined || found.trim() === '' ? undefined : found.trim()
  }
  const all = value('all_proxy')
  const http = value('http_proxy') ?? all
  const https = value('https_proxy') ?? all
  return http === undefined && https === undefined ? undefined : { http, https, noProxy: value('no_proxy') }
}

/**
 * The proxy on the way to a server; undefined where there is none.
 *
 * @throws {ConfigurationError} where it is no http or https proxy; without its user name and password
 */
export function chooseProxy(options: ProxyOptions | undefined, target: URL): Proxy | undefined {
  const scheme = target.protocol === 'https:' ? 'https' : 'http'
  const given = options?.[scheme]
  if (given === undefined || given === '' || isExcepted(target, options?.noProxy ?? '')) return undefined
  const text = given.includes('://') ? given : `http://${given}`
  if (!URL.canParse(text))
    throw new ConfigurationError({
      reason: `The proxy for servers on ${scheme} is no URL such as http://proxy.example:3128`,
    })
  const { protocol, host, hostname, username, password } = new URL(text)
  if ((protocol !== 'http:' && protocol !== 'https:') || hostname === '') {
    throw new ConfigurationError({
      reason: `The proxy ${protocol}//${host} for servers on ${scheme} is not supported: name an http or https proxy, or the server in no_proxy`,
    })
  }
  const login = `${decode(username)}:${decode(password)}`
  return {
    url: new URL(`${protocol}//${host}`),
    authorization: login === ':' ? undefined : `Basic ${Buffer.from(login).toString('base64')}`,
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function isExcepted(target: URL, list: string): boolean {
  const host = bare(target.hostname)
  const port = target.port === '' ? (target.protocol === 'https:' ? '443' : '80') : target.port
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry !== '' && matches(entry, host, port))
}

/** Without the brackets of an IPv6 address, and the dot at the end of a name. */
function bare(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  const [, bracketed, plain, entryPort] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [
    entry,
    undefined,
    entry,
  ]
  if (entryPort !== undefined && Number(entryPort) !== Number(port)) return false
  const pattern = bracketed ?? plain ?? ''
  if (net.isIP(host) !== 0) return isInNetwork(pattern, host)
  const name = bare(pattern.replace(/^\*?\./, ''))
  return name !== '' && (host === name || host.endsWith(`.${name}`))
}

/** @param pattern an address, or a network: `10.0.0.0/8` */
export function isInNetwork(pattern: string, address: string): boolean {
  const [network = '', prefix, ...more] = pattern.split('/')
  const version = net.isIP(network)
  const longest = version === 4 ? 32 : 128
  const length = prefix === undefined ? longest : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1
  if (version === 0 || more.length > 0 || length < 0 || length > longest) return false
  const list = new net.BlockList()
  list.addSubnet(network, length, version === 4 ? 'ipv4' : 'ipv6')
  return list.check(address, net.isIP(address) === 4 ? 'ipv4' : 'ipv6')
}

/** A proxy that does not let a request through: why, and what to do. */
export function proxyRefusal(
  target: URL,
  { url: { origin }, authorization }: Proxy,
  status: number,
): ConnectionBrokenError {
  const reason =
    status === 407
      ? authorization === undefined
        ? `the proxy ${origin} wants a user name and password (407): give them in its URL`
        : `the proxy ${origin} does not accept the user name and password of its URL (407)`
      : status < 500
        ? `the proxy ${origin} refuses to connect there (${status}): have it allowed there, or name the server in no_proxy`
        : `the proxy ${origin} could not connect there (${status})`
  return new ConnectionBrokenError('connect', connectionText(target, 'connect', reason), {
    fatal: status < 500,
  })
}

/** The failure of a request that a proxy was handed: its connection is to the proxy. */
export function throughProxy(error: unknown, target: URL, { url: { origin } }: Proxy): unknown {
  if (!(error instanceof ConnectionBrokenError) || error.message.includes(`the proxy ${origin}`)) return error
  const { phase, cause, fatal } = error
  const message =
    phase === 'connect' && cause !== undefined
      ? connectionText(target, 'connect', `the proxy ${origin}: ${connectionReason(cause)}`)
      : `${error.message} (through the proxy ${origin})`
  return new ConnectionBrokenError(phase, message, { cause, fatal })
}

/** An error's words and headers without what the proxy was given: it may repeat that. */
export function withoutLogin<
  Head extends { readonly status: number; readonly headers: ReadonlyMap<string, string> },
>(proxy: Proxy | undefined, head: Head, text: string): { readonly head: Head; readonly text: string } {
  if (proxy?.authorization === undefined || head.status < 300) return { head, text }
  const secrets = secretsOf({ 'Proxy-Authorization': proxy.authorization })
  const headers = [...head.headers].map(([name, value]) => [name, maskSecrets(value, secrets)] as const)
  return { head: { ...head, headers: new Map(headers) }, text: maskSecrets(text, secrets) }
}
