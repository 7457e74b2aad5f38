import { createHash } from 'node:crypto'
import path from 'node:path'
import { toQemuFormat } from '@disk-image/core'
import { isTemporaryName } from '@disk-image/host'
import type { FleetJob } from './job.ts'

/** Fields that say how a job is done, not what comes of it. */
const manners = new Set(['connections', 'verify', 'verifyBeforeWrite', 'disableSparse', 'preferStores'])

/** Fields that name a format. */
const formatFields = new Set(['sourceFormat', 'volumeFormat'])

/** The back end of a job. */
export function backendOf(job: FleetJob): string {
  return job.backend ?? 'default'
}

/** The image service of a job, where it has one. */
export function cloudOf(job: FleetJob): string | undefined {
  const isInCloud =
    ('imageId' in job && job.imageId !== undefined) ||
    ('source' in job && job.type !== 'convert' && job.source?.startsWith('image:') === true)
  return isInCloud ? ((job as { readonly cloud?: string }).cloud ?? 'default') : undefined
}

/**
 * The same work has the same id: image, hash, destination and format make it. What is submitted twice is there
 * once.
 */
export function jobIdOf(job: FleetJob): string {
  const filled = {
    volumeFormat: 'raw',
    ...job,
    backend: backendOf(job),
    cloud: cloudOf(job),
  }
  const identity = Object.entries(filled)
    .filter(([name, value]) => value !== undefined && !manners.has(name))
    // Two names of one format ask for the same work.
    .map(([name, value]) => [name, formatFields.has(name) ? toQemuFormat(value as string) : value] as const)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
  const digest = createHash('sha256').update(JSON.stringify(identity)).digest('hex')
  return `${backendOf(job)}.${job.type}-${digest.slice(0, 32)}`
}

/** The back end that a job's id names. */
export function backendOfId(id: string): string | undefined {
  return /^([A-Za-z0-9][A-Za-z0-9_-]{0,62})\.(fetch|upload|convert|coalesce|inspect)-[0-9a-f]{32}$/.exec(
    id,
  )?.[1]
}

/**
 * What a job writes, or must have for itself meanwhile. Two jobs with a name in common are never run at the
 * same time.
 */
export function destinationsOf(job: FleetJob): readonly string[] {
  const onBackend = (volume: string): string =>
    // A Ceph pool is one and the same, whichever back end leads there.
    volume.startsWith('rbd:') ? volume : `${backendOf(job)}:${volume}`
  switch (job.type) {
    case 'fetch':
    case 'convert':
      return [onBackend(job.volume)]
    case 'upload':
      return [`image:${cloudOf(job)}:${job.imageId}`]
    case 'coalesce':
      return [...new Set(job.chain.map(onBackend))].toSorted()
    case 'inspect':
    default:
      return [`inspect:${jobIdOf(job)}`]
  }
}

/** A volume in Ceph. */
export interface RbdName {
  readonly pool: string
  readonly image: string
}

const rbdPart = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/**
 * Reads `rbd:POOL/IMAGE`. Nothing else is taken: after the name qemu's rbd driver would read options (`:conf=`,
 * `:id=`), rbd would read a snapshot (`@`) or a namespace (a second `/`), and a leading `-` is an option of rbd's.
 *
 * @returns undefined for a name that is none of Ceph's, or isn't plain
 */
export function parseRbdName(volume: string): RbdName | undefined {
  if (!volume.startsWith('rbd:')) return undefined
  const [pool = '', image = '', ...rest] = volume.slice('rbd:'.length).split('/')
  const plain = rest.length === 0 && rbdPart.test(pool) && rbdPart.test(image)
  return plain && !isMadeUpName(image) ? { pool, image } : undefined
}

/** Whether a name is one that a volume has only until it is whole: another job may be writing it. */
function isMadeUpName(name: string): boolean {
  return /\.partial$/i.test(name) || isTemporaryName(name)
}

/** Whether a volume is named as a job may name it: a plain absolute path, or `rbd:POOL/IMAGE`. */
export function isVolumeName(value: unknown): value is string {
  if (typeof value !== 'string' || value.length > 4096) return false
  if (value.startsWith('rbd:')) return parseRbdName(value) !== undefined
  // oxlint-disable-next-line no-control-regex -- no control character belongs into a path here
  if (!path.isAbsolute(value) || /[\u0000-\u001f\u007f]/.test(value)) return false
  return path.normalize(value) === value && !value.endsWith('/') && !isMadeUpName(path.basename(value))
}
