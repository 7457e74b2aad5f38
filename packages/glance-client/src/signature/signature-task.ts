import type { KeyObject, X509Certificate } from 'node:crypto'
import type { ImageRecord } from '@disk-image/core'
import type { HashTask } from '@disk-image/io'
import { InvalidSignatureImageError } from '../errors.ts'

/** Node's name of each hash method, and its length in bytes. Case counts. */
const hashMethods: Readonly<Record<string, { readonly name: string; readonly bytes: number }>> = {
  'SHA-224': { name: 'sha224', bytes: 28 },
  'SHA-256': { name: 'sha256', bytes: 32 },
  'SHA-384': { name: 'sha384', bytes: 48 },
  'SHA-512': { name: 'sha512', bytes: 64 },
}

/** Node's key type of each key type, and the curve that it names. Case counts. */
const keyTypes: Readonly<Record<string, { readonly type: string; readonly curve?: string }>> = {
  'RSA-PSS': { type: 'rsa' },
  DSA: { type: 'dsa' },
  ECC_SECP384R1: { type: 'ec', curve: 'secp384r1' },
  ECC_SECP521R1: { type: 'ec', curve: 'secp521r1' },
  ECC_SECT409K1: { type: 'ec', curve: 'sect409k1' },
  ECC_SECT409R1: { type: 'ec', curve: 'sect409r1' },
  ECC_SECT571K1: { type: 'ec', curve: 'sect571k1' },
  ECC_SECT571R1: { type: 'ec', curve: 'sect571r1' },
}

/** The first certificate of a PEM text. @throws {SyntaxError} where there is none; DER is not accepted */
export function parseCertificate(pem: string): X509Certificate {
  const block = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/.exec(pem)?.[0]
  if (block === undefined) throw new SyntaxError('The certificate is not in PEM form')
  const { X509Certificate } = process.getBuiltinModule('node:crypto')
  return new X509Certificate(block)
}

/**
 * What verifies a signature: the rules of the library that Glance and Cinder use, to the letter.
 *
 * @param strictCurve refuse a key on another curve than the key type names, which that library accepts
 * @throws {SyntaxError} where a property is not one of those known, or does not fit the certificate
 * @see https://opendev.org/x/cursive/src/tag/0.2.3/cursive/signature_utils.py
 */
export function signatureTask(
  properties: SignatureProperties,
  certificate: X509Certificate,
  strictCurve: boolean,
): HashTask {
  const signature = decodePythonBase64(properties.signature)
  const hash = own(hashMethods, properties.hashMethod)
  if (hash === undefined)
    throw new SyntaxError(`The hash method ${quote(properties.hashMethod)} is not known`)
  const wanted = own(keyTypes, properties.keyType)
  if (wanted === undefined) throw new SyntaxError(`The key type ${quote(properties.keyType)} is not known`)
  if (signature.length === 0) throw new SyntaxError('The signature is empty')
  const key = certificate.publicKey
  if (key.asymmetricKeyType !== wanted.type) {
    throw new SyntaxError(
      `The certificate has a key of type ${key.asymmetricKeyType}, not ${properties.keyType}`,
    )
  }
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (strictCurve && wanted.curve !== undefined && curve !== wanted.curve) {
    throw new SyntaxError(`The certificate's key is on the curve ${curve}, not ${wanted.curve}`)
  }
  const saltLength = wanted.type === 'rsa' ? maximumSaltLength(key, hash.bytes) : undefined
  return {
    kind: 'signature',
    algorithm: hash.name,
    publicKey: key.export({ type: 'spki', format: 'pem' }) as string,
    signature,
    ...(saltLength === undefined ? {} : { saltLength }),
  }
}

/** The one salt length that is accepted. @see https://www.rfc-editor.org/rfc/rfc8017#section-9.1.1 */
function maximumSaltLength(key: KeyObject, hashBytes: number): number {
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  const length = Math.ceil((bits - 1) / 8) - hashBytes - 2
  if (length < 0) throw new SyntaxError(`An RSA key of ${bits} bits is too short for this hash`)
  return length
}

function own<T>(map: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 60))
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/**
 * Base64 as the signing tools' Python reads it: characters outside the alphabet are skipped (also `-` and `_`), data
 * ends at complete padding, and missing padding is an error. Node's own decoder takes more, and would accept
 * signatures that the others refuse.
 *
 * @throws {SyntaxError}
 * @see binascii.a2b_base64
 */
function decodePythonBase64(text: string): Buffer {
  let digits = ''
  let pads = 0
  for (const character of text) {
    if (character.charCodeAt(0) > 127) throw new SyntaxError('The text is not ASCII')
    if (character === '=') {
      const position = digits.length % 4
      pads += position >= 2 ? 1 : 0
      if (position >= 2 && position + pads >= 4) return Buffer.from(digits, 'base64')
    } else if (alphabet.includes(character)) {
      digits += character
      pads = 0
    }
  }
  if (digits.length % 4 !== 0) throw new SyntaxError('The padding is incorrect')
  return Buffer.from(digits, 'base64')
}

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
