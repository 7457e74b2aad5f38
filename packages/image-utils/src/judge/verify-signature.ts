import { rm } from 'node:fs/promises'
import {
  type CallOptions,
  type CertificateSource,
  type ImageRecord,
  type ImageService,
  type RequestContext,
  checkImageId,
} from '@disk-image/core'
import {
  createSignatureVerifier,
  ImageSignatureVerificationError,
  type SignatureVerifier,
} from '@disk-image/glance-client/signature'
import { type Services, chooseImageService } from '../services/services.ts'
import { readFileInChunks } from '../files/file-chunks.ts'

/**
 * A sink that verifies an image's signature while its stored bytes pass. Close it.
 *
 * @returns undefined where the image is not signed
 * @throws {ImageSignatureVerificationError} also where there is no source of certificates to verify it with
 */
export function openSignatureVerification(
  services: Services,
  context: RequestContext,
  record: ImageRecord,
  call: CallOptions,
): Promise<SignatureVerifier | undefined> {
  return createSignatureVerifier(context, record, certificatesOf(services, record.id), {
    signal: call.signal,
  })
}

/**
 * Verifies the signature of an image that is in a file. A file with a wrong signature is removed.
 *
 * @returns false where the image is not signed
 * @throws {InvalidSignatureImageError} where only some of the signature's properties are there
 * @throws {ImageSignatureVerificationError}
 * @see cinder.image.image_utils.verify_glance_image_signature
 */
export async function verifyGlanceImageSignature(
  services: Services,
  context: RequestContext,
  imageService: ImageService | undefined,
  imageId: string,
  path: string,
  options: CallOptions = {},
): Promise<boolean> {
  checkImageId(imageId)
  const record = await chooseImageService(services, imageService).show(context, imageId, {
    signal: options.signal,
  })
  // What keeps the signature from being verified at all says nothing about the file: it stays.
  await using verifier = await openSignatureVerification(services, context, record, options)
  if (verifier === undefined) return false
  try {
    for await (const bytes of readFileInChunks(path, { signal: options.signal })) await verifier.write(bytes)
    await verifier.verify()
    return true
  } catch (error) {
    options.signal?.throwIfAborted()
    await rm(path, { force: true }).catch((failure: unknown) => {
      // That the file stays must not hide why it should go.
      services.logger.error('A file with a wrong signature could not be removed', { path, error: failure })
    })
    if (error instanceof ImageSignatureVerificationError) throw error
    const said = error instanceof Error ? error.message : String(error)
    const reason = `Failed to verify signature for image: ${imageId} due to error: ${said}`
    throw new ImageSignatureVerificationError({ imageId, reason, cause: error })
  }
}

function certificatesOf(services: Services, imageId: string): CertificateSource {
  return (
    services.certificates ?? {
      getCertificate: async () => {
        throw new ImageSignatureVerificationError({
          imageId,
          reason:
            "There is no source of certificates: give certificates to createImageUtils, or set verifyGlanceSignatures to 'disabled'.",
        })
      },
    }
  )
}
