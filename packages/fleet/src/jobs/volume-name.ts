import path from 'node:path'
import { isTemporaryName } from '@disk-image/host'

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
