import type { ImageRecord } from '@disk-image/core'
import { InvalidSignatureImageError } from '../errors.ts'

/** What an image says about its signature. */
export interface SignatureProperties {
  /** Base64. */
  readonly signature: string
  /** `SHA-224`, `SHA-256`, `SHA-384`, `SHA-512` */
  readonly hashMethod: string
  /** `RSA-PSS`, `DSA`, `ECC_SECP384R1` … */
  readonly keyType: string
  readonly certificateId: string
}

/**
 * The signature properties of an image: all of them, or none.
 *
 * @returns undefined where the image is not signed
 * @throws {InvalidSignatureImageError} where there are only some, or `required` and none
 */
export function readSignatureProperties(
  image: Pick<ImageRecord, 'id' | 'properties'>,
  required = false,
): SignatureProperties | undefined {
  let signed = false
  const read = (name: string): string | undefined => {
    const value = Object.hasOwn(image.properties, name) ? image.properties[name] : undefined
    // What is there and is no text is a signature that can't be right, never none.
    signed ||= value !== undefined && value !== null
    return typeof value === 'string' ? value : undefined
  }
  const signature = read('img_signature')
  const hashMethod = read('img_signature_hash_method')
  const keyType = read('img_signature_key_type')
  const certificateId = read('img_signature_certificate_uuid')
  if (!signed) {
    if (!required) return undefined
    throw new InvalidSignatureImageError({ imageId: image.id, reason: `Image ${image.id} is not signed.` })
  }
  if (
    signature === undefined ||
    hashMethod === undefined ||
    keyType === undefined ||
    certificateId === undefined
  ) {
    throw new InvalidSignatureImageError({ imageId: image.id })
  }
  return { signature, hashMethod, keyType, certificateId }
}
