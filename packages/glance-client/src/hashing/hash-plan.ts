import { ImageDownloadFailedError } from '@disk-image/core'
import type { ImageRecord, VerifyPolicy } from '@disk-image/core'
import { isHexDigest, toNodeHashName } from './hash-names.ts'

/** The fields of an image's record that say what its bytes must be. */
export type ExpectedImage = Pick<ImageRecord, 'id' | 'size' | 'os_hash_algo' | 'os_hash_value' | 'checksum'>

/** Which hash is computed over an image, and what it must come to. */
export interface HashPlan {
  /** The record's name of it. */
  readonly algorithm: string
  readonly nodeAlgorithm: string
  /** Lower-case hex; absent where the record has none to compare with. */
  readonly expected: string | undefined
}

/**
 * Chooses the hash by which an image is verified.
 *
 * @returns undefined where only the size is to be checked
 * @throws {ImageDownloadFailedError} where the policy is strict and the record has no usable `os_hash_*`
 */
export function planHash(image: ExpectedImage, policy: VerifyPolicy): HashPlan | undefined {
  if (policy === 'none') return undefined
  const { os_hash_algo: algorithm, os_hash_value: value } = image
  const nodeAlgorithm = typeof algorithm === 'string' ? toNodeHashName(algorithm) : undefined
  if (
    typeof algorithm === 'string' &&
    nodeAlgorithm !== undefined &&
    typeof value === 'string' &&
    isHexDigest(algorithm, value)
  ) {
    return { algorithm, nodeAlgorithm, expected: value.toLowerCase() }
  }
  if (policy === 'strict') {
    const found =
      typeof algorithm === 'string' ? `os_hash_algo ${JSON.stringify(algorithm.slice(0, 40))}` : 'none'
    throw new ImageDownloadFailedError({
      imageId: image.id,
      reason: `it cannot be verified: a known os_hash_algo with its os_hash_value is demanded, the record has ${found}.`,
    })
  }
  const { checksum } = image
  if (typeof checksum === 'string' && isHexDigest('md5', checksum) && toNodeHashName('md5') !== undefined) {
    return { algorithm: 'md5', nodeAlgorithm: 'md5', expected: checksum.toLowerCase() }
  }
  return undefined
}
