import type { ByteSink, CallOptions, CertificateSource, ImageRecord, RequestContext } from '@disk-image/core'
import { HashStream } from '@disk-image/io'
import { ImageSignatureVerificationError } from '../errors.ts'
import { checkCertificateChain } from './certificate-chain.ts'
import { readSignatureProperties } from './signature-task.ts'
import { parseCertificate, signatureTask } from './signature-task.ts'

/** How strictly signatures are verified. */
export interface SignatureOptions extends CallOptions {
  /** Refuse a key on another curve than the image's key type names. @default false */
  readonly strictCurve?: boolean | undefined
  /** PEM certificates: the signer's must come from one of them, and all of the chain be in date. @default not checked */
  readonly trustedCertificates?: readonly string[] | undefined
  /** Refuse images that are not signed. @default false */
  readonly requireSignature?: boolean | undefined
  /** The time at which certificates must be valid, in milliseconds since 1970. @default now */
  readonly wallMs?: number | undefined
  /** Verify in the calling thread. @default false */
  readonly inPlace?: boolean | undefined
}

/**
 * Verifies an image's signature while its bytes pass: a sink to put beside the one that keeps them. It must see every
 * byte as stored, in order. Close it, whatever happens.
 */
export interface SignatureVerifier extends ByteSink, AsyncDisposable {
  /** @throws {ImageSignatureVerificationError} where the bytes are not those that were signed */
  verify(): Promise<void>
  close(): Promise<void>
}

/**
 * Prepares the verification of an image's signature: finds the certificate, and checks everything but the bytes.
 *
 * @returns undefined where the image is not signed
 * @throws {InvalidSignatureImageError} where the signature's properties are incomplete
 * @throws {ImageSignatureVerificationError} where they, or the certificate, are not acceptable
 */
export async function createSignatureVerifier(
  context: RequestContext,
  image: Pick<ImageRecord, 'id' | 'properties'>,
  certificates: CertificateSource,
  options: SignatureOptions = {},
): Promise<SignatureVerifier | undefined> {
  const properties = readSignatureProperties(image, options.requireSignature)
  if (properties === undefined) return undefined
  const imageId = image.id
  let task
  try {
    const { signal } = options
    const pem = await certificates.getCertificate(context, properties.certificateId, { signal })
    const certificate = parseCertificate(pem)
    if (options.trustedCertificates !== undefined) {
      const trusted = options.trustedCertificates.map((text) => parseCertificate(text))
      checkCertificateChain(certificate, trusted, options.wallMs ?? Date.now())
    }
    task = signatureTask(properties, certificate, options.strictCurve ?? false)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw new ImageSignatureVerificationError({
      imageId,
      reason: `Failed to get verifier for image: ${imageId}.`,
      cause: error,
    })
  }
  const stream = new HashStream([task], { inThread: options.inPlace !== true })
  return {
    write: (bytes) => stream.write(bytes),
    verify: async () => {
      let result: string | undefined
      try {
        ;[result] = await stream.finish()
      } catch (error) {
        throw failed(imageId, error)
      }
      if (result !== 'valid') throw failed(imageId, undefined)
    },
    close: () => stream.close(),
    [Symbol.asyncDispose]: () => stream.close(),
  }
}

function failed(imageId: string, cause: unknown): ImageSignatureVerificationError {
  return new ImageSignatureVerificationError({
    imageId,
    reason: `Image signature verification failed for image: ${imageId}.`,
    cause,
  })
}

/**
 * Verifies the signature of an image whose bytes are at hand.
 *
 * @returns whether the image is signed
 * @throws {InvalidSignatureImageError} {@link ImageSignatureVerificationError}
 * @see cinder.image.image_utils.verify_glance_image_signature
 */
export async function verifyImageSignature(
  context: RequestContext,
  image: Pick<ImageRecord, 'id' | 'properties'>,
  source: AsyncIterable<Uint8Array>,
  certificates: CertificateSource,
  options: SignatureOptions = {},
): Promise<boolean> {
  await using verifier = await createSignatureVerifier(context, image, certificates, options)
  if (verifier === undefined) return false
  for await (const bytes of source) {
    options.signal?.throwIfAborted()
    await verifier.write(bytes)
  }
  await verifier.verify()
  return true
}
