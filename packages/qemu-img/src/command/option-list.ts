import { InvalidError } from '@disk-image/core'

/** An option list: `name=value,name=value`. Commas in values are doubled, which is how `qemu-img` reads them. */
export function optionList(options: Readonly<Record<string, string | number | undefined>>): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${String(value).replaceAll(',', ',,')}`)
    .join(',')
}

/** The id of the secret that a new image is encrypted with. */
export const destinationSecret = 'destination'

/** `--object`: a passphrase that `qemu-img` reads from a file, so that it never stands on a command line. */
export function secretObject(id: string, file: string): string[] {
  checkPath(file, 'passphrase file')
  return ['--object', `secret,${optionList({ id, format: 'raw', file })}`]
}

/**
 * Only an absolute path can't be taken for an option, for a protocol (`nbd:…`), or for `json:`.
 *
 * @throws {InvalidError} where it isn't one
 */
export function checkPath(path: unknown, role: string): asserts path is string {
  if (typeof path === 'string' && path.startsWith('/') && !path.includes('\0')) return
  throw new InvalidError({ reason: `The ${role} must be an absolute path, not '${String(path)}'` })
}

/** @throws {InvalidError} where it isn't a whole, exact number of bytes */
export function checkSize(sizeBytes: unknown, name: string): asserts sizeBytes is number {
  if (typeof sizeBytes === 'number' && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0) return
  throw new InvalidError({ reason: `${name} must be a whole number of bytes, not ${String(sizeBytes)}` })
}
