import { ImageError, InvalidError } from '@disk-image/core'
import { HttpConnectionFailedError, HttpStatusError } from '@disk-image/http'

/** The identity service did not accept the credentials. */
export class AuthenticationFailedError extends ImageError {
  readonly code = 'AUTHENTICATION_FAILED'
  readonly kind = 'not-authorized'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Authentication failed: ${init.reason}`, cause: init.cause })
    this.reason = init.reason
  }
}

/** The identity service, or the provider that it trusts, could not be reached, or could not answer. */
export class IdentityUnreachableError extends ImageError {
  readonly code = 'IDENTITY_UNREACHABLE'
  readonly kind = 'failed'
  readonly reason: string

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Signing in is not possible now: ${init.reason}`, cause: init.cause })
    this.reason = init.reason
  }
}

/**
 * The image service could not be reached, or broke off, as often as was tried.
 *
 * @see cinder.exception.GlanceConnectionFailed
 */
export class GlanceConnectionFailedError extends HttpConnectionFailedError {
  override readonly code = 'GLANCE_CONNECTION_FAILED'

  constructor(init: { readonly reason: string; readonly cause?: unknown }) {
    super({ ...init, message: `Connection to glance failed: ${init.reason}` })
  }
}

/** A service answered a request with an error for which there is no other class. */
export class GlanceHttpError extends HttpStatusError {
  override readonly code = 'GLANCE_HTTP'
}

/** A service answered, but not as its interface says: no JSON, other types, pages without end. */
export class GlanceAnswerError extends ImageError {
  readonly code = 'GLANCE_ANSWER'
  readonly kind = 'failed'
  /** Where the answer came from, without what may be secret. */
  readonly url: string
  readonly reason: string

  constructor(init: { readonly url: string; readonly reason: string; readonly cause?: unknown }) {
    super({ message: `The answer of ${init.url} is not usable: ${init.reason}`, cause: init.cause })
    this.url = init.url
    this.reason = init.reason
  }
}

/**
 * The image service does not have what was asked for; where that is an image, it is an `ImageNotFoundError`.
 *
 * @see cinder.exception.NotFound
 */
export class NotFoundError extends ImageError {
  readonly code = 'NOT_FOUND'
  readonly kind = 'not-found'
}

/**
 * The account may not do this; where that is about one image, it is an `ImageNotAuthorizedError`.
 *
 * @see cinder.exception.NotAuthorized
 */
export class NotAuthorizedError extends ImageError {
  readonly code = 'NOT_AUTHORIZED'
  readonly kind = 'not-authorized'
}

/**
 * The service, or a proxy before it, takes no more: a quota is used up, or what was sent is too large.
 *
 * @see cinder.exception.ImageLimitExceeded
 */
export class ImageLimitExceededError extends ImageError {
  readonly code = 'IMAGE_LIMIT_EXCEEDED'
  readonly kind = 'invalid'
  /** What the service said. */
  readonly detail: string

  constructor(init: { readonly detail?: string; readonly message?: string; readonly cause?: unknown }) {
    const said = init.message === undefined ? '' : `: ${init.message}`
    super({ message: `Image quota or size limit exceeded${said}`, cause: init.cause })
    this.detail = init.detail ?? ''
  }
}

/** What became of the image whose upload failed. */
export type FailedUploadState =
  /** It waits for data, as before: another upload may follow. */
  | 'queued'
  /** It was active with wrong data and has been deleted. */
  | 'deleted'
  /** It is active with wrong data; deleting it failed or was not wanted. */
  | 'wrong'
  /** The service could not be asked, or is still busy with it. */
  | 'unknown'

/** Init of {@link ImageUploadFailedError}. */
interface ImageUploadFailedErrorInit {
  readonly imageId: string
  readonly reason: string
  readonly state: FailedUploadState
  readonly cause?: unknown
}

/** The image's data did not arrive whole, and could not be sent again. */
export class ImageUploadFailedError extends ImageError {
  readonly code = 'IMAGE_UPLOAD_FAILED'
  readonly kind = 'failed'
  readonly imageId: string
  readonly reason: string
  readonly state: FailedUploadState

  constructor(init: ImageUploadFailedErrorInit) {
    super({ message: `Failed to upload image ${init.imageId}, reason: ${init.reason}`, cause: init.cause })
    this.imageId = init.imageId
    this.reason = init.reason
    this.state = init.state
  }
}

/** The service could not import an image's data, or not into every store that was asked for. */
export class ImageImportFailedError extends ImageError {
  readonly code = 'IMAGE_IMPORT_FAILED'
  readonly kind = 'failed'
  readonly imageId: string
  readonly reason: string
  /** Stores that did not get the data. */
  readonly failedStores: readonly string[]

  constructor(init: {
    readonly imageId: string
    readonly reason: string
    readonly failedStores?: readonly string[]
    readonly cause?: unknown
  }) {
    super({ message: `Failed to import image ${init.imageId}, reason: ${init.reason}`, cause: init.cause })
    this.imageId = init.imageId
    this.reason = init.reason
    this.failedStores = init.failedStores ?? []
  }
}

/**
 * The image service has no store of that name.
 *
 * @see cinder.exception.GlanceStoreNotFound
 */
export class GlanceStoreNotFoundError extends ImageError {
  readonly code = 'GLANCE_STORE_NOT_FOUND'
  readonly kind = 'not-found'
  readonly storeId: string

  constructor(init: { readonly storeId: string; readonly cause?: unknown }) {
    super({ message: `Store ${init.storeId} not enabled in glance.`, cause: init.cause })
    this.storeId = init.storeId
  }
}

/**
 * The store takes no data.
 *
 * @see cinder.exception.GlanceStoreReadOnly
 */
export class GlanceStoreReadOnlyError extends InvalidError {
  override readonly code = 'GLANCE_STORE_READ_ONLY'
  readonly storeId: string

  constructor(init: { readonly storeId: string; readonly cause?: unknown }) {
    super({ reason: `Store ${init.storeId} is read-only in glance.`, cause: init.cause })
    this.storeId = init.storeId
  }
}

/**
 * A reference to an image is neither an id nor a URL.
 *
 * @see cinder.exception.InvalidImageRef
 */
export class InvalidImageReferenceError extends InvalidError {
  override readonly code = 'INVALID_IMAGE_REFERENCE'
  readonly imageReference: string

  constructor(init: { readonly imageReference: string; readonly cause?: unknown }) {
    super({ reason: `Invalid image href ${init.imageReference}.`, cause: init.cause })
    this.imageReference = init.imageReference
  }
}

/**
 * An image's signature is wrong, or could not be verified.
 *
 * @see cinder.exception.ImageSignatureVerificationException
 */
export class ImageSignatureVerificationError extends ImageError {
  readonly code = 'IMAGE_SIGNATURE_VERIFICATION_FAILED'
  readonly kind = 'refused'
  readonly imageId: string
  readonly reason: string

  constructor(init: { readonly imageId: string; readonly reason: string; readonly cause?: unknown }) {
    super({ message: `Failed to verify image signature, reason: ${init.reason}`, cause: init.cause })
    this.imageId = init.imageId
    this.reason = init.reason
  }
}

/**
 * An image has some of the four signature properties, but not all; or none, where one is demanded.
 *
 * @see cinder.exception.InvalidSignatureImage
 */
export class InvalidSignatureImageError extends InvalidError {
  override readonly code = 'INVALID_SIGNATURE_IMAGE'
  readonly imageId: string

  constructor(init: { readonly imageId: string; readonly reason?: string; readonly cause?: unknown }) {
    super({
      reason: init.reason ?? `Signature metadata is incomplete for image: ${init.imageId}.`,
      cause: init.cause,
    })
    this.imageId = init.imageId
  }
}
