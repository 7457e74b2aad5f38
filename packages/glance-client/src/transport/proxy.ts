import net from 'node:net'
import { ConfigurationError } from '../errors.ts'

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

function isInNetwork(pattern: string, address: string): boolean {
  const [network = '', prefix, ...more] = pattern.split('/')
  const version = net.isIP(network)
  const longest = version === 4 ? 32 : 128
  const length = prefix === undefined ? longest : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1
  if (version === 0 || more.length > 0 || length < 0 || length > longest) return false
  const list = new net.BlockList()
  list.addSubnet(network, length, version === 4 ? 'ipv4' : 'ipv6')
  return list.check(address, net.isIP(address) === 4 ? 'ipv4' : 'ipv6')
}
