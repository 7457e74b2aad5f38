import { ImageDownloadFailedError, InvalidError, printableAscii } from '@disk-image/core'
import { crcs } from './hash-task.ts'
import type { Checksum, ImageRecord, VerifyPolicy } from '@disk-image/core'

/** Names that Python's hashlib and OpenSSL spell differently. */
const renamed: Readonly<Record<string, string>> = {
  blake2b: 'blake2b512',
  blake2s: 'blake2s256',
  sha3_224: 'sha3-224',
  sha3_256: 'sha3-256',
  sha3_384: 'sha3-384',
  sha3_512: 'sha3-512',
  sha512_224: 'sha512-224',
  sha512_256: 'sha512-256',
}

/** Hex digits of the hashes that an image service may name; nothing else is a hash of an image. */
const hexDigits: Readonly<Record<string, number>> = {
  md5: 32,
  ripemd160: 40,
  sha1: 40,
  sha224: 56,
  sha3_224: 56,
  sha512_224: 56,
  blake2s: 64,
  sha256: 64,
  sha3_256: 64,
  sha512_256: 64,
  sm3: 64,
  sha384: 96,
  sha3_384: 96,
  blake2b: 128,
  sha3_512: 128,
  sha512: 128,
}

/** What every OpenSSL has. Asking it would load `node:crypto`, which takes as long as hashing 5 MB. */
const everywhere: ReadonlySet<string> = new Set(['sha224', 'sha256', 'sha384', 'sha512'])

/**
 * Node's name of a hash that Python's hashlib knows as `name`, the spelling in an image's `os_hash_algo`.
 *
 * @returns undefined where it is no hash of that kind, or this Node's OpenSSL does not have it
 */
export function toNodeHashName(name: string): string | undefined {
  if (!Object.hasOwn(hexDigits, name)) return undefined
  const nodeName = renamed[name] ?? name
  if (everywhere.has(nodeName)) return nodeName
  return process.getBuiltinModule('node:crypto').getHashes().includes(nodeName) ? nodeName : undefined
}

/** Whether it is a sum by which damage is found, and no hash: only a source may promise one. */
export function isCrc(algorithm: string): algorithm is keyof typeof crcs {
  return Object.hasOwn(crcs, algorithm)
}

/** Whether a value can be the hex digest of the hash that Python calls `name`. */
function isHexDigest(name: string, value: string): boolean {
  return value.length === (isCrc(name) ? crcs[name] : hexDigits[name]) && /^[0-9a-fA-F]+$/.test(value)
}

/** The fields of an image's record that say what its bytes must be. */
export type ExpectedImage = Pick<ImageRecord, 'id' | 'size' | 'os_hash_algo' | 'os_hash_value' | 'checksum'>

/** A hash that is computed over an image, and what it must come to. */
export interface HashPlan {
  /** The record's name of it. */
  readonly algorithm: string
  readonly nodeAlgorithm: string
  /** Lower-case hex. */
  readonly expected: string
  /** Who says so, as the beginning of a sentence that ends with the value. */
  readonly saidBy: string
}

/**
 * The checksums that a caller demands, in which no doubt is allowed.
 *
 * @throws {InvalidError} for an algorithm that is not known here, and for what can't be its hash
 */
export function planChecksums(checksums: readonly Checksum[]): HashPlan[] {
  return checksums.map(({ algorithm, value }) => {
    const nodeAlgorithm = toNodeHashName(algorithm)
    if (nodeAlgorithm !== undefined && isHexDigest(algorithm, value)) {
      const saidBy = 'the checksum that was given is'
      return { algorithm, nodeAlgorithm, expected: value.toLowerCase(), saidBy }
    }
    const shown = `${printableAscii(algorithm, 20)}:${printableAscii(value, 140)}`
    const wrong =
      nodeAlgorithm === undefined
        ? 'has an algorithm that is not known here'
        : `is not a ${algorithm} hash in hex`
    throw new InvalidError({ reason: `The checksum ${shown} ${wrong}.` })
  })
}

/**
 * What a source says of its own bytes, as far as the algorithm is known here.
 *
 * @throws {ImageDownloadFailedError} where a value can't be a hash: that is never "nothing to check"
 */
export function planPromises(image: Pick<ExpectedImage, 'id'>, promises: readonly Checksum[]): HashPlan[] {
  return promises.flatMap(({ algorithm, value }) => {
    const nodeAlgorithm = isCrc(algorithm) ? algorithm : toNodeHashName(algorithm)
    if (nodeAlgorithm === undefined) return []
    if (!isHexDigest(algorithm, value)) {
      throw unverifiable(image, `what its source promises, ${quote(value)}, is not a ${algorithm} hash`)
    }
    return [{ algorithm, nodeAlgorithm, expected: value.toLowerCase(), saidBy: 'its source promises' }]
  })
}

const byRecord = "the image's record says"

/**
 * Chooses the hash by which an image is verified.
 *
 * A record that has no hash is one thing, and one whose hash can't be right another: the second is never "nothing to
 * check". Only an unknown algorithm leaves the choice to `checksum`.
 *
 * @returns undefined where only the size is to be checked: the policy says so, or the record has no hash
 * @throws {ImageDownloadFailedError} where the record has a hash that no bytes can have, or none that is known; where
 * the policy is strict, also without a usable `os_hash_*`
 */
export function planHash(image: ExpectedImage, policy: VerifyPolicy): HashPlan | undefined {
  if (policy === 'none') return undefined
  const { os_hash_algo: algorithm, os_hash_value: value } = image
  const hasValue = value !== undefined && value !== null
  const nodeAlgorithm = typeof algorithm === 'string' ? toNodeHashName(algorithm) : undefined
  if (hasValue && typeof algorithm === 'string' && nodeAlgorithm !== undefined) {
    const expected = digest(image, 'os_hash_value', algorithm)
    return { algorithm, nodeAlgorithm, expected, saidBy: byRecord }
  }
  if (policy === 'strict') {
    throw unverifiable(
      image,
      `a known os_hash_algo with its os_hash_value is demanded, the record has ${foundIn(image)}`,
    )
  }
  if (image.checksum !== undefined && image.checksum !== null) {
    const expected = digest(image, 'checksum', 'md5')
    return { algorithm: 'md5', nodeAlgorithm: 'md5', expected, saidBy: byRecord }
  }
  if (!hasValue) return undefined
  throw unverifiable(image, `its record has ${foundIn(image)}, which is not known here, and no checksum`)
}

/**
 * How many bytes an image has; undefined where its record doesn't say.
 *
 * @throws {ImageDownloadFailedError} where the record says what can't be a size
 */
export function sizeOf({ id, size }: ExpectedImage): number | undefined {
  if (size === undefined || size === null) return undefined
  if (Number.isSafeInteger(size) && size >= 0) return size
  throw new ImageDownloadFailedError({
    imageId: id,
    reason: `its record says that its size is ${quote(size)}.`,
  })
}

/** Whether a record has anything by which its bytes can be verified, usable or not. */
export function hasHash({
  os_hash_value,
  checksum,
}: Pick<ExpectedImage, 'os_hash_value' | 'checksum'>): boolean {
  return (os_hash_value ?? null) !== null || (checksum ?? null) !== null
}

/** A field of the record as lower-case hex. */
function digest(image: ExpectedImage, field: 'os_hash_value' | 'checksum', algorithm: string): string {
  const value: unknown = image[field]
  if (typeof value === 'string' && isHexDigest(algorithm, value)) return value.toLowerCase()
  throw unverifiable(image, `its ${field} ${quote(value)} is not a ${algorithm} hash`)
}

function foundIn({ os_hash_algo: algorithm, os_hash_value: value }: ExpectedImage): string {
  const hasAlgorithm = algorithm !== undefined && algorithm !== null
  if (value === undefined || value === null) {
    return hasAlgorithm ? `os_hash_algo ${quote(algorithm)} without an os_hash_value` : 'none'
  }
  return hasAlgorithm ? `os_hash_algo ${quote(algorithm)}` : 'an os_hash_value without an os_hash_algo'
}

function unverifiable(image: Pick<ExpectedImage, 'id'>, reason: string): ImageDownloadFailedError {
  return new ImageDownloadFailedError({ imageId: image.id, reason: `it cannot be verified: ${reason}.` })
}

/** What a record has in a field, short and on one line. */
function quote(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 60)
}
