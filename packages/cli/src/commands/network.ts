import type { ProcessRunner } from '@disk-image/core'
import type { NetworkOptions } from '@disk-image/image-utils'
import type { HttpSourceOptions, RegistryOptions } from '@disk-image/sources'
import type { Command } from 'commander'
import type { Patience } from '../patience.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { collect } from './values.ts'

/** Flags of a command that speaks to registries. */
export interface RegistryFlags {
  readonly authFile?: string
  readonly plainHttp?: readonly string[]
  readonly insecureRegistry?: readonly string[]
  readonly mirror?: readonly string[]
  readonly credentialHelper?: readonly string[]
}

/** Flags of a command that reads from registries and from S3. */
export interface NetworkFlags extends RegistryFlags {
  readonly platform?: string
  readonly layer?: string
  readonly endpointUrl?: string
  readonly region?: string
  readonly profile?: string
}

/** Options of a command that speaks to registries. */
export function withRegistryOptions(command: Command): Command {
  return command
    .option(
      '--auth-file <file>',
      'users and passwords of registries, as podman login and docker login write them',
    )
    .option(
      '--plain-http <host:port>',
      'speak to this registry, or its token server, without TLS; may be repeated',
      collect,
    )
    .option(
      '--insecure-registry <host:port>',
      'take whatever certificate this registry, or its token server, shows; may be repeated',
      collect,
    )
    .option(
      '--mirror <host=mirror>',
      'ask this mirror before the registry HOST, for example docker.io=mirror.example:5000; may be repeated, in order',
      collect,
    )
    .option(
      '--credential-helper <name>',
      'ask docker-credential-NAME for users and passwords of registries; HOST=NAME for one registry; may be repeated',
      collect,
    )
}

/** Options of a command that reads from registries and from S3. */
export function withNetworkOptions(command: Command): Command {
  return withRegistryOptions(command)
    .option(
      '--platform <os/arch>',
      "of an oci: image for several, or that is made (default: linux, and this machine's architecture)",
    )
    .option('--layer <digest>', 'the layer that has the disk, of an oci: image with several')
    .option('--endpoint-url <url>', "of s3:, in place of Amazon's")
    .option('--region <name>', 'of s3:')
    .option('--profile <name>', "of s3:, in the AWS command's files")
}

/** Variables that name authorities to trust, of all servers. */
const authorities = ['SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE']

/** How servers are reached: who runs the command says where, so any address will do. */
async function readConnection(
  session: Session,
): Promise<Pick<RegistryOptions, 'tls' | 'proxy' | 'allow' | 'logger'> & Patience> {
  const { loadTls, proxyFromEnvironment } = await import('@disk-image/image-utils/glance')
  const { environment, workingDirectory } = session.io
  const trusted = Object.fromEntries(authorities.map((name) => [name, environment[name]]))
  return {
    // Certificates of a cloud (OS_CACERT, OS_CERT) are for that cloud.
    tls: await loadTls({ environment: { HOME: environment['HOME'], ...trusted }, workingDirectory }),
    proxy: proxyFromEnvironment(environment),
    allow: { privateAddresses: true },
    logger: session.logger,
    ...session.patience,
  }
}

/**
 * How a URL is read.
 *
 * @param isStrangers whether somebody else chose the server: then only a netrc file, which names its hosts, signs in
 */
export async function readUrlOptions(
  session: Session,
  url: string,
  isStrangers = false,
): Promise<HttpSourceOptions> {
  const { urlCredentials } = await import('@disk-image/sources')
  const { environment, workingDirectory } = session.io
  return {
    ...(await urlCredentials(url, {
      environment: isStrangers ? { NETRC: environment['NETRC'] } : environment,
      workingDirectory,
    })),
    ...(await readConnection(session)),
  }
}

/** How a registry is spoken to: by the options, and by variables that say the same. */
export async function readRegistryOptions(session: Session, flags: RegistryFlags): Promise<RegistryOptions> {
  const { registryCredentials } = await import('@disk-image/sources')
  const { environment, signal } = session.io
  const { authFile } = flags
  const file = authFile === undefined ? undefined : session.resolve(authFile)
  const wordsOf = (given: readonly string[] = [], variable: string): readonly string[] => [
    ...given,
    ...(environment[variable] ?? '').split(/[\s,]+/).filter((word) => word !== ''),
  ]
  const mirrors = wordsOf(flags.mirror, 'DISK_IMAGE_REGISTRY_MIRRORS').map((word) =>
    readPair('--mirror', word, 'HOST=MIRROR'),
  )
  const helpers = wordsOf(flags.credentialHelper, 'DISK_IMAGE_REGISTRY_HELPERS').map((word) =>
    readPair('--credential-helper', word.includes('=') ? word : `*=${word}`, 'NAME or HOST=NAME'),
  )
  // What the command line says, counts more than a variable.
  const credentialHelpers = Object.fromEntries(helpers.toReversed())
  const runner = helpers.length === 0 ? undefined : await createHelperRunner(session)
  return {
    ...(await readConnection(session)),
    credentials: registryCredentials({ environment, file, runner, helpers: credentialHelpers, signal }),
    plainHttp: wordsOf(flags.plainHttp, 'DISK_IMAGE_REGISTRY_PLAIN_HTTP'),
    insecureHosts: wordsOf(flags.insecureRegistry, 'DISK_IMAGE_REGISTRY_INSECURE'),
    mirrors: Object.fromEntries(
      [...Map.groupBy(mirrors, ([host]) => host)].map(([host, of]) => [host, of.map(([, mirror]) => mirror)]),
    ),
  }
}

function readPair(option: string, text: string, form: string): readonly [host: string, value: string] {
  const [, host = '', value = ''] = /^([\w.:[\]*-]+)=([\w.:[\]-]+)$/.exec(text) ?? []
  if (value === '') throw new UsageError(`${option} must be ${form}; it is ${JSON.stringify(text)}.`)
  return [host.toLowerCase(), value]
}

/** Runs what the user named, from where the user's own programs are. */
async function createHelperRunner({ io: { environment }, logger }: Session): Promise<ProcessRunner> {
  const { createProcessRunner } = await import('@disk-image/host')
  const { PATH } = environment
  return createProcessRunner({ logger, environment: PATH === undefined ? {} : { PATH } })
}

/** How what a word names is reached. */
export async function readNetworkOptions(
  session: Session,
  reference: string,
  isStrangers = false,
): Promise<NetworkOptions> {
  const flags = session.flags as GlobalFlags & NetworkFlags
  if (/^oci:/i.test(reference)) {
    const { platform, layer } = flags
    const { workingDirectory } = session.io
    return { oci: { ...(await readRegistryOptions(session, flags)), workingDirectory, platform, layer } }
  }
  if (/^s3:/i.test(reference)) {
    const { endpointUrl, region, profile } = flags
    const { environment } = session.io
    return { s3: { ...(await readConnection(session)), environment, endpointUrl, region, profile } }
  }
  return { url: await readUrlOptions(session, reference, isStrangers) }
}
