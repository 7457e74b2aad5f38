import { lookup as resolve } from 'node:dns'
import net from 'node:net'
import type { LookupFunction } from 'node:net'
import { callbackify } from 'node:util'
import { AddressRefusedError } from '../errors.ts'
import { isInNetwork } from './proxy.ts'

/** Where requests may go. The defaults are for URLs that come from strangers. */
export interface AddressPolicy {
  /** @default http and https */
  readonly schemes?: readonly ('http' | 'https')[] | undefined
  /** Names, each as it is, or with all below it (`*.example.org`). @default any */
  readonly hosts?: readonly string[] | undefined
  /** @default any */
  readonly ports?: readonly number[] | undefined
  /**
   * Whether addresses may be reached that are not the public internet's: private, loopback, link-local, shared (CGNAT),
   * of a cloud's metadata, reserved, multicast; or the networks of them that may. @default false
   */
  readonly privateAddresses?: boolean | readonly string[] | undefined
  /** Whether a redirect may lead from https to http. @default false */
  readonly downgrade?: boolean | undefined
}

/** An address that a name stands for. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: 4 | 6
}

/** Resolves a name to all of its addresses. */
export type Resolver = (host: string) => Promise<readonly ResolvedAddress[]>

/** An {@link AddressPolicy} as connections ask it. */
export interface AddressGuard {
  /**
   * Scheme, host and port of a URL, and the address where the host is one, in whatever spelling.
   *
   * @throws {AddressRefusedError}
   */
  readonly check: (url: URL) => void
  /** All addresses of a URL's host. @throws {AddressRefusedError} */
  checkName(url: URL): Promise<void>
  /** Given to the socket, which then connects to an address that was checked. Absent: Node.js resolves. */
  readonly lookup: LookupFunction | undefined
}

/** Not the public internet's, by IANA's registries of special-purpose addresses; and Azure's, which looks public. */
const special4 =
  '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32'
/** Inside of 2000::/3, outside of which nothing is the public internet's. */
const special6 = '2001::/23 2001:db8::/32 2620:4f:8000::/48 3fff::/20'

const blocked = new net.BlockList()
for (const [list, family] of [
  [special4, 'ipv4'],
  [special6, 'ipv6'],
] as const) {
  for (const network of list.split(' ')) {
    const [address = '', prefix] = network.split('/')
    blocked.addSubnet(address, Number(prefix), family)
  }
}

/**
 * Whether an address is one of the public internet. An IPv6 address that stands for an IPv4 one (mapped, translated by
 * NAT64, 6to4, ISATAP) is what that is.
 */
export function isPublicAddress(address: string): boolean {
  const family = net.isIP(address)
  if (family === 4) return !blocked.check(address, 'ipv4')
  if (family === 0 || address.includes('%')) return false
  const groups = groupsOf(address)
  const dotted = (at: number): string => {
    const [high = 0, low = 0] = groups.slice(at, at + 2)
    return [high >> 8, high & 255, low >> 8, low & 255].join('.')
  }
  const starts = (...prefix: number[]): boolean => prefix.every((group, index) => groups[index] === group)
  // `::ffff:a.b.c.d` and `64:ff9b::a.b.c.d`
  if (starts(0, 0, 0, 0, 0, 0xffff) || starts(0x64, 0xff9b, 0, 0, 0, 0)) return isPublicAddress(dotted(6))
  if (((groups[0] ?? 0) & 0xe000) !== 0x2000 || blocked.check(address, 'ipv6')) return false
  // 6to4 has it behind its prefix, ISATAP at the end.
  if (groups[0] === 0x2002) return isPublicAddress(dotted(1))
  const isatap = groups[5] === 0x5efe && ((groups[4] ?? 0) & 0xfdff) === 0
  return !isatap || isPublicAddress(dotted(6))
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): number[] {
  // The URL parser knows every spelling, and has one.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const read = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const [first, last] = [read(head), read(tail ?? '')]
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last]
}

/**
 * Makes a guard of a policy.
 *
 * @param resolver resolves names in place of Node.js
 */
export function guardAddresses(policy: AddressPolicy, resolver?: Resolver): AddressGuard {
  const { schemes = ['http', 'https'], hosts, ports, privateAddresses = false } = policy
  const refuse = (rule: AddressRefusedError['rule'], url: Pick<URL, 'hostname'>, reason: string): never => {
    throw new AddressRefusedError({ rule, host: url.hostname, reason })
  }
  const mayReach = (address: string): boolean =>
    privateAddresses === true ||
    isPublicAddress(address) ||
    (privateAddresses !== false && privateAddresses.some((network) => isInNetwork(network, address)))
  const checkAddress = (host: string, address: string): void => {
    if (mayReach(address)) return
    const named = host === address ? '' : `, to which ${host} resolves,`
    refuse('address', { hostname: host }, `the address ${address}${named} is not of the public internet`)
  }
  const resolveAll = async (host: string): Promise<readonly ResolvedAddress[]> => {
    const addresses = await (resolver ?? resolveWithNode)(host)
    for (const { address } of addresses) checkAddress(host, address)
    return addresses
  }
  return {
    check(url) {
      const scheme = url.protocol.slice(0, -1)
      if (!(schemes as readonly string[]).includes(scheme)) {
        refuse('scheme', url, `the scheme ${scheme} is not among those allowed: ${schemes.join(', ')}`)
      }
      const host = hostOf(url)
      if (hosts !== undefined && !hosts.some((entry) => isNamed(entry, host))) {
        refuse('host', url, `the host ${host} is not among those allowed`)
      }
      const port = Number(url.port) || (scheme === 'https' ? 443 : 80)
      if (ports !== undefined && !ports.includes(port)) {
        refuse('port', url, `the port ${port} is not among those allowed: ${ports.join(', ')}`)
      }
      if (net.isIP(host) !== 0) checkAddress(host, host)
    },
    async checkName(url) {
      const host = hostOf(url)
      if (net.isIP(host) === 0 && privateAddresses !== true) await resolveAll(host)
    },
    lookup:
      privateAddresses === true && resolver === undefined
        ? undefined
        : (host, options, callback) => {
            callbackify(resolveAll)(host, (error: Error | null, addresses) => {
              // oxlint-disable-next-line typescript/no-unnecessary-condition -- undefined beside an error
              const wanted = (addresses ?? []).filter(
                ({ family }) => ![4, 6].includes(Number(options.family)) || family === options.family,
              )
              const [first] = wanted
              if (error !== null) callback(error, [])
              else if (first === undefined) {
                callback(Object.assign(new Error('no address'), { code: 'ENOTFOUND' }), [])
              } else if (options.all === true) callback(null, [...wanted])
              else callback(null, first.address, first.family)
            })
          },
  }
}

function resolveWithNode(host: string): Promise<readonly ResolvedAddress[]> {
  return new Promise((done, fail) => {
    resolve(host, { all: true }, (error, addresses) => {
      if (error === null)
        done(addresses.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })))
      else fail(error)
    })
  })
}

/** In lower case, without brackets and without the dot at the end. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
}

function isNamed(entry: string, host: string): boolean {
  const name = entry.toLowerCase()
  return name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name
}
