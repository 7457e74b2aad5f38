import path from 'node:path'
import type { ImageService, RequestContext } from '@disk-image/core'
import type { GlanceClient } from '@disk-image/image-utils/glance'
import type { Io } from './io.ts'
import { UsageError } from './usage-error.ts'

/** Where images are. */
export interface Store {
  readonly imageService: ImageService
  readonly context: RequestContext
  /** For a person: `the folder /srv/images`. */
  readonly description: string
  /** Who signs in, as far as that is said here. */
  readonly account?: string | undefined
  /** Absent for a folder. */
  readonly glance: { readonly client: GlanceClient } | undefined
  close(): Promise<void>
}

/** Flags that say where images are. */
export interface PlaceFlags {
  readonly store?: string
  readonly glance?: string
  readonly cloud?: string
}

/** How a store is chosen: the first that is given. */
export type Choice =
  | { readonly kind: 'folder'; readonly folder: string }
  | { readonly kind: 'endpoint'; readonly url: string }
  | { readonly kind: 'cloud'; readonly name: string }
  | { readonly kind: 'environment' }

/** Variables that say where a cloud is; others (names, passwords) say nothing alone. */
const decisiveVariables = ['OS_AUTH_URL', 'OS_AUTH_TYPE', 'OS_ENDPOINT', 'OS_IMAGE_ENDPOINT_OVERRIDE']

/**
 * Of the flags that say where images are only those of the strongest source: `--cloud` on the command line goes before
 * a folder in the file, and so do the `OS_*` variables.
 *
 * @param sourceOf where a flag's value comes from: cli, env or config
 */
export function withoutWeakerPlaces<Flags extends PlaceFlags>(
  flags: Flags,
  environment: Io['environment'],
  sourceOf: (name: string) => string | undefined,
): Flags {
  const ranks = ['config', 'env', 'cli']
  const names = (['store', 'glance', 'cloud'] as const).filter((name) => flags[name] !== undefined)
  if (names.length === 0) return flags
  const rankOf = (name: string): number => ranks.indexOf(sourceOf(name) ?? 'cli')
  const isCloudSet = ['OS_CLOUD', ...decisiveVariables].some((name) => (environment[name] ?? '') !== '')
  const best = Math.max(...names.map(rankOf), isCloudSet ? ranks.indexOf('env') : 0)
  const weaker = names.filter((name) => rankOf(name) < best).map((name) => [name, undefined])
  return weaker.length === 0 ? flags : { ...flags, ...Object.fromEntries(weaker) }
}

/** `--store`, `--glance`, `--cloud` or `OS_CLOUD`, the `OS_*` variables, the user's own folder. */
export function chooseStore(
  flags: PlaceFlags,
  { environment, workingDirectory }: Pick<Io, 'environment' | 'workingDirectory'>,
): Choice {
  if (flags.store !== undefined) {
    if (flags.store === '') throw new UsageError('--store needs a folder.')
    return { kind: 'folder', folder: path.resolve(workingDirectory, flags.store) }
  }
  if (flags.glance !== undefined) return { kind: 'endpoint', url: flags.glance }
  const cloud = flags.cloud ?? environment['OS_CLOUD']
  if (cloud !== undefined && cloud !== '') return { kind: 'cloud', name: cloud }
  if (decisiveVariables.some((name) => (environment[name] ?? '') !== '')) return { kind: 'environment' }
  return { kind: 'folder', folder: defaultFolder(environment) }
}

/** @throws {UsageError} for what is no URL of a service, or signs in */
export function checkUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new UsageError(`--glance needs a URL such as http://127.0.0.1:9292; it is ${JSON.stringify(text)}.`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError(
      '--glance takes no user name or password: sign in with --cloud or the OS_* variables.',
    )
  }
  return text
}

/** Where the images of this user are, where nothing else is said. */
export function defaultFolder(environment: Readonly<Record<string, string | undefined>>): string {
  const { XDG_DATA_HOME: data = '', HOME: home = '' } = environment
  // As the specification has it, a relative XDG_DATA_HOME counts as none.
  const base = path.isAbsolute(data) ? data : path.join(home, '.local/share')
  if (!path.isAbsolute(base)) {
    throw new UsageError(
      'It is not known where the images are: HOME is not set. Give --store DIR, --glance URL or --cloud NAME.',
    )
  }
  return path.join(base, 'disk-image/images')
}
