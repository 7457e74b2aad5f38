import { ImageError, type ImageErrorKind } from './errors.ts'

const statusOfKind: Readonly<Record<ImageErrorKind, number>> = {
  refused: 422,
  'not-found': 404,
  'not-authorized': 403,
  invalid: 400,
  failed: 502,
}

/** Where the kind alone would blame the wrong one. */
const statusOfCode: Readonly<Record<string, number>> = {
  // Another state of things is needed, not another request.
  AMBIGUOUS_IMAGE_NAME: 409,
  DISK_CHANGED: 409,
  FLEET_JOB_CANCELLED: 409,
  VOLUME_ACCESS: 409,
  IMAGE_LIMIT_EXCEEDED: 413,
  // The faults of whoever runs the service.
  AUTHENTICATION_FAILED: 500,
  CONFIGURATION: 500,
  PROCESS_EXECUTION_FAILED: 500,
  QEMU_IMG_OUTPUT: 500,
  VOLUME_BACKEND: 500,
  // What it stands on can't be reached.
  FLEET_REDIS_UNREACHABLE: 503,
  FLEET_WORKER_STOPPING: 503,
  GLANCE_CONNECTION_FAILED: 503,
  HTTP_CONNECTION_FAILED: 503,
  IDENTITY_UNREACHABLE: 503,
  IMAGE_TOO_BIG: 507,
}

/** Answers of an image service that mean the same to whoever asked. */
const passedOn: ReadonlySet<number> = new Set([401, 409, 413, 429, 503, 507])

/**
 * The HTTP status with which a service answers for an error.
 *
 * - 400 the request, 401 the user's token, 403 the user's rights, 404 no such image
 * - 409 it is in another state, or in use; 413 a quota; 422 the image is refused
 * - 500 the service's own account, configuration or tools; 502 a transfer that broke; 503 what it stands on can't be
 *   reached; 507 no room
 *
 * @returns 500 for what is no error of these packages, unless it says that there is no room
 */
export function httpStatusOf(error: unknown): number {
  const causes = causesOf(error)
  if (causes.some(({ code }) => code === 'ENOSPC' || code === 'EDQUOT')) return 507
  if (!ImageError.is(error)) return 500
  const { code, kind } = error
  const known = statusOfCode[code]
  if (known !== undefined) return known
  const said = causes.find(({ status }) => typeof status === 'number')?.status
  return typeof said === 'number' && passedOn.has(said) ? said : statusOfKind[kind]
}

/** An error and what is underneath. */
function causesOf(error: unknown): readonly { readonly code?: unknown; readonly status?: unknown }[] {
  const causes: { readonly code?: unknown; readonly status?: unknown; readonly cause?: unknown }[] = []
  for (let one = error; typeof one === 'object' && one !== null && causes.length < 10;) {
    causes.push(one)
    one = (one as { readonly cause?: unknown }).cause
  }
  return causes
}
