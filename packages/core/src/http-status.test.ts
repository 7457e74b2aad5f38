import { expect, test } from 'vitest'
import {
  ImageDownloadFailedError,
  ImageError,
  ImageNotAuthorizedError,
  ImageNotFoundError,
  ImageTooBigError,
  ImageUnacceptableError,
  InvalidError,
} from './errors.ts'
import { httpStatusOf } from './http-status.ts'

class Answered extends ImageError {
  readonly code = 'GLANCE_HTTP'
  readonly kind: ImageError['kind']
  readonly status: number

  constructor(status: number, kind: ImageError['kind']) {
    super({ message: `HTTP ${status}` })
    this.status = status
    this.kind = kind
  }
}

class Coded extends ImageError {
  readonly code: string
  readonly kind = 'failed'

  constructor(code: string) {
    super({ message: code })
    this.code = code
  }
}

const imageId = 'an-image'

test.each([
  [new InvalidError({ reason: 'no' }), 400],
  [new ImageNotAuthorizedError({ imageId, cause: new Answered(401, 'not-authorized') }), 401],
  [new ImageNotAuthorizedError({ imageId, cause: new Answered(403, 'not-authorized') }), 403],
  [new ImageNotFoundError({ imageId }), 404],
  [new Answered(409, 'invalid'), 409],
  [new Answered(415, 'invalid'), 400],
  [new Answered(503, 'failed'), 503],
  [new Answered(500, 'failed'), 502],
  [new ImageUnacceptableError({ imageId, reason: 'no' }), 422],
  [new ImageDownloadFailedError({ imageId, reason: 'cut' }), 502],
  [new ImageTooBigError({ imageId, reason: 'full' }), 507],
  [
    new ImageDownloadFailedError({
      imageId,
      reason: 'full',
      cause: Object.assign(new Error('no space'), { code: 'ENOSPC' }),
    }),
    507,
  ],
  [new Coded('IDENTITY_UNREACHABLE'), 503],
  [new Coded('GLANCE_CONNECTION_FAILED'), 503],
  [new Coded('AUTHENTICATION_FAILED'), 500],
  [new Coded('CONFIGURATION'), 500],
  [Object.assign(new Error('no space'), { code: 'EDQUOT' }), 507],
  [new TypeError('a bug'), 500],
  ['a text', 500],
  [undefined, 500],
])('%s is answered with its status', (error, status) => {
  expect(httpStatusOf(error)).toBe(status)
})

test('an error that is its own cause ends', () => {
  const error = new Error('a circle')
  error.cause = error
  expect(httpStatusOf(error)).toBe(500)
})
