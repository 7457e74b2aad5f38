import { formatNames, InvalidError } from '@disk-image/core'
import type { FleetJob, JobEnvelope, JobType } from './job.ts'
import { isVolumeName } from './identity.ts'

interface Field {
  readonly required: boolean
  readonly holds: (value: unknown) => boolean
  readonly words: string
}

const matching =
  (pattern: RegExp): Field['holds'] =>
  (value) =>
    typeof value === 'string' && pattern.test(value)
const oneOf =
  (...values: readonly string[]): Field['holds'] =>
  (value) =>
    values.includes(value as string)
const required = (holds: Field['holds'], words: string): Field => ({ required: true, holds, words })
const optional = (holds: Field['holds'], words: string): Field => ({ required: false, holds, words })

const isName = matching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/)
const isSubformat = matching(/^[A-Za-z0-9][A-Za-z0-9_]{0,31}$/)
const isRead: Field['holds'] = (value) => formatNames('read').some((name) => name === value)
const isWritten: Field['holds'] = (value) => formatNames('write').some((name) => name === value)
const isId = matching(/^[0-9A-Za-z][0-9A-Za-z._-]{0,127}$/)
const isBoolean: Field['holds'] = (value) => typeof value === 'boolean'
const isPositive: Field['holds'] = (value) => typeof value === 'number' && Number.isFinite(value) && value > 0
const isConnections: Field['holds'] = (value) =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= 64

function isStores(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.length <= 64 && value.every(isId)
}

function isHash(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { algorithm, value: digest, ...rest } = value as Record<string, unknown>
  return (
    Object.keys(rest).length === 0 &&
    matching(/^[a-z0-9_]{2,20}$/)(algorithm) &&
    matching(/^([0-9a-f]{2}){16,64}$/)(digest)
  )
}

function isChain(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > 256) return false
  return value.every((file) => isVolumeName(file) && !file.startsWith('rbd:'))
}

/** Parts of a query that sign or sign in: a job would keep them for everybody who reads the queue. */
const secretQuery = /[?&][^=&]*(?:sig(?:nature)?|token|credential|key|password|secret)[^=&]*=/i

function isSource(value: unknown): boolean {
  // oxlint-disable-next-line no-control-regex -- no control character belongs into a word
  if (typeof value !== 'string' || value.length > 4096 || /[\u0000-\u001f\u007f]/.test(value)) return false
  if (value.startsWith('image:')) return value.length > 'image:'.length
  return /^(?:https?|s3|oci):\/\/[^\s/@?#]+(?:\/\S*)?$/.test(value) && !secretQuery.test(value)
}

function isDiskName(value: unknown): boolean {
  // oxlint-disable-next-line no-control-regex -- no control character belongs into a name
  return typeof value === 'string' && /^[^\u0000-\u001f\u007f]{1,256}$/.test(value)
}

const isPath: Field['holds'] = (value) => isVolumeName(value) && !value.startsWith('rbd:')

const name = optional(isName, 'a name of letters, digits, - and _')
const imageId = required(isId, "an image's id")
const imageOrSource = {
  cloud: name,
  imageId: optional(isId, "an image's id"),
  source: optional(
    isSource,
    'https://…, s3://…, oci://… without user, password and signature, or image:NAME',
  ),
  sourceFormat: optional(isRead, `the name of a format that can be read: ${formatNames('read').join(', ')}`),
}
const volume = required(isVolumeName, 'a plain absolute path or rbd:POOL/IMAGE')
const readWords = `the name of a format that can be read: ${formatNames('read').join(', ')}`
const writtenWords = `the name of a format that can be written: ${formatNames('write').join(', ')}`
const subformat = optional(isSubformat, 'the name of a variant of the format')
const flag = optional(isBoolean, 'true or false')
const compression = optional(oneOf('none', 'zlib', 'zstd'), "'none', 'zlib' or 'zstd'")
const common = { type: required(isName, 'a type of job'), backend: name }

const fields: Readonly<Record<JobType, Readonly<Record<string, Field>>>> = {
  fetch: {
    ...common,
    ...imageOrSource,
    volume,
    hash: optional(isHash, '{ algorithm, value } with lower-case hex'),
    volumeFormat: optional(isWritten, writtenWords),
    volumeSubformat: subformat,
    volumeSizeGiB: optional(isPositive, 'a number of GiB above 0'),
    disableSparse: flag,
    verify: optional(oneOf('strict', 'fallback', 'none'), "'strict', 'fallback' or 'none'"),
    verifyBeforeWrite: flag,
    disk: optional(isDiskName, 'the name of a disk in an archive'),
    decrypt: flag,
    passphrase: optional(isName, 'the name of a passphrase that the worker has'),
    connections: optional(isConnections, 'a whole number from 1 to 64'),
    preferStores: optional(isStores, "a list of stores' ids, 64 at most"),
  },
  upload: {
    ...common,
    cloud: name,
    imageId,
    volume,
    volumeFormat: optional(isRead, readWords),
    compression,
    storeId: optional(isId, "a store's id"),
  },
  convert: {
    ...common,
    source: required(isPath, 'a plain absolute path'),
    sourceFormat: required(isRead, readWords),
    volume,
    volumeFormat: required(isWritten, writtenWords),
    volumeSubformat: subformat,
    compression,
    disableSparse: flag,
  },
  coalesce: { ...common, chain: required(isChain, 'a list of 1 to 256 plain absolute paths, leaf first') },
  inspect: { ...common, ...imageOrSource },
}

/**
 * Checks a job field by field, where it is submitted and again where it is run. A field that isn't known is
 * refused: a newer submitter meant something by it.
 *
 * @throws {InvalidError} naming the field and what would be right
 */
export function checkJob(value: unknown): FleetJob {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidError({ reason: 'A job must be an object.' })
  }
  const given = value as Readonly<Record<string, unknown>>
  const type = given['type']
  const known = typeof type === 'string' && Object.hasOwn(fields, type) ? fields[type as JobType] : undefined
  if (known === undefined) {
    throw new InvalidError({
      reason: `There is no job of type ${JSON.stringify(type) ?? 'undefined'}; there are: ${Object.keys(fields).join(', ')}.`,
    })
  }
  for (const field of Object.keys(given)) {
    if (!Object.hasOwn(known, field)) {
      throw new InvalidError({
        reason: `A ${type} job has no field ${JSON.stringify(field)}; it has: ${Object.keys(known).join(', ')}.`,
      })
    }
  }
  for (const [field, { required: needed, holds, words }] of Object.entries(known)) {
    const found = Object.hasOwn(given, field) ? given[field] : undefined
    if (found === undefined ? needed : !holds(found)) {
      throw new InvalidError({ reason: `The field ${field} of a ${type} job must be ${words}.` })
    }
  }
  checkTogether(given)
  return Object.freeze(
    Object.fromEntries(Object.entries(given).filter(([, found]) => found !== undefined)),
  ) as unknown as FleetJob
}

/** What goes with what. */
function checkTogether({ type, ...job }: Readonly<Record<string, unknown>>): void {
  if (type !== 'fetch' && type !== 'inspect') return
  const { imageId: id, source, sourceFormat, decrypt, passphrase } = job
  if ((id === undefined) === (source === undefined)) {
    throw new InvalidError({
      reason:
        id === undefined
          ? `The field imageId of a ${type} job must be an image's id, unless it has a source.`
          : `A ${type} job has an imageId or a source, not both.`,
    })
  }
  if (sourceFormat !== undefined && source === undefined) {
    throw new InvalidError({ reason: 'The field sourceFormat goes with a source: an image has a record.' })
  }
  if (decrypt === true && passphrase === undefined) {
    throw new InvalidError({ reason: 'The field decrypt needs the name of a passphrase: passphrase.' })
  }
}

/**
 * Checks what was taken from the queue.
 *
 * @throws {InvalidError}
 */
export function checkEnvelope(value: unknown): JobEnvelope {
  const { version, submission, job, ...rest } = (value ?? {}) as Readonly<Record<string, unknown>>
  const whole = version === 1 && matching(/^[0-9a-f-]{36}$/)(submission) && Object.keys(rest).length === 0
  if (!whole) {
    throw new InvalidError({ reason: 'What the queue has is no job of this version of the fleet.' })
  }
  return { version, submission: submission as string, job: checkJob(job) }
}

/** Whether a text can be the name of a back end or of a cloud. */
export function isFleetName(value: string): boolean {
  return isName(value)
}
