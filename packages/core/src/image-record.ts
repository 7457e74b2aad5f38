import { InvalidError } from './errors.ts'
import { printable } from './printable.ts'

/** Values that an image's property may have. On Glance's wire they are strings. */
export type ImagePropertyValue =
  | string
  | number
  | boolean
  | null
  | readonly unknown[]
  | { readonly [key: string]: unknown }

/**
 * An image as an image service describes it: Glance's own field names, with everything that is not a base
 * field folded into `properties`.
 *
 * @see https://docs.openstack.org/api-ref/image/v2/#show-image
 */
export interface ImageRecord {
  readonly id: string
  readonly name?: string | null | undefined
  /** `queued`, `saving`, `uploading`, `importing`, `active`, `deactivated`, `killed`, `deleted`, `pending_delete` */
  readonly status?: string | undefined
  readonly visibility?: string | undefined
  readonly protected?: boolean | undefined
  readonly owner?: string | null | undefined
  readonly disk_format?: string | null | undefined
  readonly container_format?: string | null | undefined
  /** Bytes of the stored data. */
  readonly size?: number | null | undefined
  /** Bytes of the disk inside, where the service knows it. */
  readonly virtual_size?: number | null | undefined
  readonly min_disk?: number | undefined
  readonly min_ram?: number | undefined
  /** MD5 of the stored data, lower-case hex. */
  readonly checksum?: string | null | undefined
  /** Python's hashlib name of the hash: `sha512`, `sha3_512`, `blake2b` … */
  readonly os_hash_algo?: string | null | undefined
  readonly os_hash_value?: string | null | undefined
  readonly os_hidden?: boolean | undefined
  readonly tags?: readonly string[] | undefined
  readonly created_at?: string | Date | undefined
  readonly updated_at?: string | Date | undefined
  readonly deleted_at?: string | Date | null | undefined
  readonly deleted?: boolean | undefined
  readonly direct_url?: string | undefined
  readonly locations?: readonly ImageLocation[] | undefined
  /** Everything else: `architecture`, `hw_disk_bus`, `img_signature` … */
  readonly properties: { readonly [key: string]: ImagePropertyValue | undefined }
}

/** One place where an image's data is stored. */
export interface ImageLocation {
  readonly url: string
  readonly metadata: { readonly [key: string]: unknown }
}

/** What may be given when an image is made or changed: any field but those the service sets itself. */
export type ImageMetadata = Partial<Omit<ImageRecord, 'properties'>> & {
  readonly properties?: ImageRecord['properties'] | undefined
}

/**
 * An id that may be one. Whether there is such an image only the service knows.
 *
 * @throws {InvalidError} for a missing or empty id, which is a mistake of the caller and no missing image
 */
export function checkImageId(imageId: unknown): asserts imageId is string {
  if (typeof imageId === 'string' && imageId.trim() !== '') return
  const found =
    imageId === undefined || typeof imageId === 'string' ? JSON.stringify(imageId) : typeof imageId
  throw new InvalidError({ reason: `An image's id is needed; it is ${found ?? 'undefined'}.` })
}

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
