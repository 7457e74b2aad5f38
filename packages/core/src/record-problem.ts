import { printable } from './printable.ts'

type Check = readonly [is: (value: unknown) => boolean, expected: string]

const text: Check = [(value) => typeof value === 'string', 'a text']
const flag: Check = [(value) => typeof value === 'boolean', 'true or false']
const amount: Check = [
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  'a whole number, 0 or more',
]
const time: Check = [(value) => typeof value === 'string' || value instanceof Date, 'a time']
const texts: Check = [
  (value) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
  'a list of texts',
]
/** Fields that somebody calculates, compares or opens by. What is absent or null is not known. */
const checks: Readonly<Record<string, Check>> = {
  name: text,
  status: text,
  visibility: text,
  protected: flag,
  owner: text,
  disk_format: text,
  container_format: text,
  size: amount,
  virtual_size: amount,
  min_disk: amount,
  min_ram: amount,
  checksum: text,
  os_hash_algo: text,
  os_hash_value: text,
  os_hidden: flag,
  tags: texts,
  created_at: time,
  updated_at: time,
  direct_url: text,
  stores: text,
  os_glance_importing_to_stores: text,
  os_glance_failed_import: text,
}
const longestId = 255
const longestShown = 60

/**
 * What is wrong with the types of an image's record, as a clause: a size that is a text would pass every limit.
 *
 * @returns undefined where every field is of its type
 */
export function recordProblem(record: unknown): string | undefined {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return 'the record is no object'
  const fields = record as Readonly<Record<string, unknown>>
  const { id } = fields
  if (typeof id !== 'string' || id === '' || id.length > longestId) {
    return `its id is ${shown(id)}, not a text of 1 to ${longestId} characters`
  }
  for (const [name, [is, expected]] of Object.entries(checks)) {
    const value = fields[name] ?? null
    if (value !== null && !is(value)) return `its ${name} is ${shown(value)}, not ${expected}`
  }
  return undefined
}

function shown(value: unknown): string {
  return printable(
    typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'absent'),
    longestShown,
  )
}
