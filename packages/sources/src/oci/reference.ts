import { InvalidError, printable } from '@disk-image/core'

/** An image in a registry. */
export interface OciRegistryReference {
  readonly kind: 'registry'
  /** Host and port of the API. */
  readonly host: string
  readonly repository: string
  /** Undefined only where a digest is given. */
  readonly tag: string | undefined
  /** `sha256:…` or `sha512:…`, lower-case. Counts more than the tag. */
  readonly digest: string | undefined
}

/** An image in a folder that is an OCI image layout. */
export interface OciLayoutReference {
  readonly kind: 'layout'
  readonly folder: string
  /** The annotation `org.opencontainers.image.ref.name`; undefined: the only image there. */
  readonly tag: string | undefined
  readonly digest: string | undefined
}

/** Where an OCI image is. */
export type OciReference = OciRegistryReference | OciLayoutReference

const longest = 1024
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`)
const tagPattern = /^\w[\w.-]{0,127}$/
const hostPattern =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?)*|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i

/** Whether a text is a digest that is verified here. */
export function isDigest(text: string): boolean {
  return /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(text)
}

/** Whether a text is a registry's host, with or without a port. */
export function isRegistryHost(text: string): boolean {
  return hostPattern.test(text)
}

/** The Docker Hub has its API elsewhere than its name says. */
export function apiHost(host: string): string {
  return host === 'docker.io' || host === 'index.docker.io' ? 'registry-1.docker.io' : host
}

/**
 * Reads `oci://HOST/REPOSITORY[:TAG][@DIGEST]`, or `oci:FOLDER[:TAG][@DIGEST]`.
 *
 * @throws {InvalidError}
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
 */
export function parseOciReference(text: string): OciReference {
  if (!text.startsWith('oci:') || text.length > longest) throw wrong(text, 'it does not begin with oci:')
  const rest = text.slice('oci:'.length)
  const at = rest.lastIndexOf('@')
  const digest = at < 0 || rest.indexOf(':', at) < 0 ? undefined : rest.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) {
    throw wrong(text, 'its digest is not sha256: with 64, or sha512: with 128 lower-case hex digits')
  }
  const before = digest === undefined ? rest : rest.slice(0, at)
  return before.startsWith('//')
    ? registryReference(text, before.slice(2), digest)
    : layoutReference(text, before, digest)
}

function registryReference(text: string, rest: string, digest: string | undefined): OciRegistryReference {
  const slash = rest.indexOf('/')
  const host = rest.slice(0, Math.max(0, slash)).toLowerCase()
  // What stands before an @ may be a password: the text is not repeated.
  if (host.includes('@')) {
    throw new InvalidError({
      reason: 'A reference to a registry holds no user and password; put them into a credential file',
    })
  }
  if (!hostPattern.test(host))
    throw wrong(text, 'it has no registry, as in oci://registry.example.org/disks/debian:12')
  const [path, tag] = splitTag(rest.slice(slash + 1))
  if (!repositoryPattern.test(path))
    throw wrong(text, 'its repository is not of lower-case letters, digits, and . _ - between them')
  if (tag !== undefined && !tagPattern.test(tag))
    throw wrong(text, 'its tag is not of 1 to 128 letters, digits, and _ . -')
  // The Docker Hub has its own repositories in a folder.
  const isHub = apiHost(host) !== host
  return {
    kind: 'registry',
    host: apiHost(host),
    repository: isHub && !path.includes('/') ? `library/${path}` : path,
    tag: tag ?? (digest === undefined ? 'latest' : undefined),
    digest,
  }
}

function layoutReference(text: string, rest: string, digest: string | undefined): OciLayoutReference {
  const [path, tag] = splitTag(rest)
  const isTag = tag !== undefined && tagPattern.test(tag)
  const folder = isTag ? path : rest
  if (folder === '' || folder.includes('\0')) throw wrong(text, 'it has no folder, as in oci:./images:debian')
  return { kind: 'layout', folder, tag: isTag ? tag : undefined, digest }
}

/** Splits at the last colon behind the last slash. */
function splitTag(text: string): [path: string, tag: string | undefined] {
  const colon = text.lastIndexOf(':')
  return colon <= text.lastIndexOf('/') ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)]
}

function wrong(text: string, why: string): InvalidError {
  return new InvalidError({
    reason: `${JSON.stringify(printable(text, 200))} is no reference to an OCI image: ${why}`,
  })
}
