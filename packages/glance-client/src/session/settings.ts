import { InvalidError } from '@disk-image/core'

/** A setting as text; undefined where there is none, or it is no scalar. */
export function textSetting(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

/**
 * A setting that is true or false, in the words of YAML 1.1.
 *
 * @throws {InvalidError} where it is neither
 */
export function booleanSetting(name: string, value: unknown): boolean | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const word = (typeof value === 'string' ? value : JSON.stringify(value)).toLowerCase()
  if (['true', 'yes', 'on', '1'].includes(word)) return true
  if (['false', 'no', 'off', '0'].includes(word)) return false
  throw new InvalidError({ reason: `The setting ${name} must be true or false` })
}
