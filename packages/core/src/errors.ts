const marker = Symbol.for('@disk-image/error')

/**
 * What the caller may do about an error.
 *
 * - `refused`: the image breaks a rule; another try with the same image and policy ends the same way
 * - `not-found`: the image, store or file does not exist
 * - `not-authorized`: the account may not do this
 * - `invalid`: a parameter or option is wrong
 * - `failed`: something broke on the way; another try may succeed
 */
export type ImageErrorKind = 'refused' | 'not-found' | 'not-authorized' | 'invalid' | 'failed'

/** What every error of the family is made from. */
export interface ImageErrorInit {
  readonly message: string
  /** The error underneath, kept as the native `cause`. */
  readonly cause?: unknown
}

/**
 * Base of every error that these packages throw on purpose.
 *
 * Match on `code`, never on `message`. `ImageError.is(error)` also holds for errors of another installed
 * version of these packages, where `instanceof` does not.
 */
export abstract class ImageError extends Error {
  static {
    Object.defineProperty(this.prototype, marker, { value: true })
  }

  /** Stable, upper-case, one per class: `IMAGE_UNACCEPTABLE`, `PROCESS_EXECUTION_FAILED` … */
  abstract readonly code: string
  abstract readonly kind: ImageErrorKind

  constructor({ message, cause }: ImageErrorInit) {
    super(message, cause === undefined ? undefined : { cause })
    // On the instance, not enumerable: a subclass gets its own name without repeating it.
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true })
  }

  /** Whether a caught value is an error of this family, whichever copy of the package made it. */
  static is(error: unknown): error is ImageError {
    return typeof error === 'object' && error !== null && marker in error
  }
}

/** Init of {@link InvalidError}. */
export interface InvalidErrorInit {
  readonly reason: string
  /** The whole message, where it says more than the reason. @default the reason */
  readonly message?: string | undefined
  readonly cause?: unknown
}

/**
 * A parameter, an option, an image or a request is wrong. The message says which and what would be right.
 *
 * As in Cinder, a refused image ({@link ImageUnacceptableError}, {@link ImageTooBigError}) is one of these.
 *
 * @see cinder.exception.Invalid
 */
export class InvalidError extends ImageError {
  readonly code: string = 'INVALID'
  readonly kind: ImageErrorKind = 'invalid'
  readonly reason: string

  constructor(init: InvalidErrorInit) {
    super({ message: init.message ?? init.reason, cause: init.cause })
    this.reason = init.reason
  }
}

/**
 * No such image, or none that this account may see.
 *
 * @see cinder.exception.ImageNotFound
 */
export class ImageNotFoundError extends ImageError {
  readonly code = 'IMAGE_NOT_FOUND'
  readonly kind = 'not-found'
  readonly imageId: string

  /** @param init `detail`: what the service said, as a sentence */
  constructor(init: { readonly imageId: string; readonly detail?: string; readonly cause?: unknown }) {
    const detail = init.detail === undefined ? '' : ` ${init.detail}`
    super({ message: `Image ${init.imageId} could not be found.${detail}`, cause: init.cause })
    this.imageId = init.imageId
  }
}

/**
 * The account, or the process's user, may not do this with the image.
 *
 * @see cinder.exception.ImageNotAuthorized
 */
export class ImageNotAuthorizedError extends ImageError {
  readonly code = 'IMAGE_NOT_AUTHORIZED'
  readonly kind = 'not-authorized'
  readonly imageId: string

  /** @param init `detail`: what the service said, as a sentence */
  constructor(init: { readonly imageId: string; readonly detail?: string; readonly cause?: unknown }) {
    const detail = init.detail === undefined ? '' : ` ${init.detail}`
    super({ message: `Not authorized for image ${init.imageId}.${detail}`, cause: init.cause })
    this.imageId = init.imageId
  }
}

/**
 * The operation exists, but not for this object or on this machine.
 *
 * @see cinder.exception.NotSupportedOperation
 */
export class NotSupportedOperationError extends InvalidError {
  override readonly code: string = 'NOT_SUPPORTED_OPERATION'
  readonly operation: string

  constructor(init: { readonly operation: string; readonly reason?: string; readonly cause?: unknown }) {
    super({
      reason: init.reason ?? init.operation,
      message: `Operation not supported: ${init.operation}${init.reason === undefined ? '' : `. ${init.reason}`}`,
      cause: init.cause,
    })
    this.operation = init.operation
  }
}

/** Init of {@link ImageUnacceptableError}: the image and the refusal it got. */
export interface ImageUnacceptableErrorInit extends Omit<Refusal, 'rule'> {
  readonly imageId: string
  readonly rule?: string | undefined
  readonly cause?: unknown
}

/**
 * The image's bytes, or what its record claims about them, are not acceptable.
 *
 * @see cinder.exception.ImageUnacceptable
 */
export class ImageUnacceptableError extends InvalidError {
  override readonly code: string = 'IMAGE_UNACCEPTABLE'
  override readonly kind: ImageErrorKind = 'refused'
  readonly imageId: string
  /** The rule that refused, for example `qcow2-backing-file`. */
  readonly rule: string | undefined
  /** What was found where the rule looked. */
  readonly found: string | undefined
  /** Where it was found: byte offset into the image. */
  readonly offset: number | undefined
  /** What would be accepted instead. */
  readonly accepted: string | undefined
  /** The published vulnerability or bug behind the rule. */
  readonly reference: string | undefined

  constructor(init: ImageUnacceptableErrorInit) {
    super({
      reason: init.reason,
      message: `Image ${init.imageId} is unacceptable: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
    this.rule = init.rule
    this.found = init.found
    this.offset = init.offset
    this.accepted = init.accepted
    this.reference = init.reference
  }
}

/** Init of {@link ImageTooBigError}. */
export interface ImageTooBigErrorInit {
  readonly imageId: string
  readonly reason: string
  readonly cause?: unknown
}

/**
 * There is no room for the image: on the file system, or on the volume.
 *
 * @see cinder.exception.ImageTooBig
 */
export class ImageTooBigError extends InvalidError {
  override readonly code: string = 'IMAGE_TOO_BIG'
  override readonly kind: ImageErrorKind = 'refused'
  readonly imageId: string

  constructor(init: ImageTooBigErrorInit) {
    super({
      reason: init.reason,
      message: `Image ${init.imageId} size exceeded available disk space: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
  }
}

/** Init of {@link ImageDownloadFailedError}. */
export interface ImageDownloadFailedErrorInit {
  readonly imageId: string
  readonly reason: string
  /** Whether the sink got bytes: its target is then partial and must not be used. @default false */
  readonly partial?: boolean
  readonly cause?: unknown
}

/**
 * The image's data could not be had whole and verified: no data, a cut or wrong body, a wrong hash.
 *
 * @see cinder.exception.ImageDownloadFailed
 */
export class ImageDownloadFailedError extends ImageError {
  readonly code = 'IMAGE_DOWNLOAD_FAILED'
  readonly kind = 'failed'
  readonly imageId: string
  readonly reason: string
  /** Whether the sink got bytes: its target is then partial and must not be used. */
  readonly partial: boolean

  constructor(init: ImageDownloadFailedErrorInit) {
    super({
      message: `Failed to download image ${init.imageId}, reason: ${init.reason}`,
      cause: init.cause,
    })
    this.imageId = init.imageId
    this.reason = init.reason
    this.partial = init.partial ?? false
  }
}

/** Why a process ended other than by its own exit code. */
export type ProcessEndReason =
  | 'exit'
  | 'not-installed'
  | 'not-permitted'
  | 'signal'
  | 'timeout'
  | 'cpu-limit'
  | 'memory-limit'
  | 'output-limit'
  | 'file-size-limit'

/** Init of {@link ProcessExecutionError}. The command must already be free of secrets. */
export interface ProcessExecutionErrorInit {
  readonly command: readonly string[]
  readonly exitCode?: number | undefined
  readonly signalName?: string | undefined
  readonly stdout?: string
  readonly stderr?: string
  readonly durationMs?: number
  readonly endReason: ProcessEndReason
  /** What to do about it, as a sentence. */
  readonly advice?: string | undefined
  readonly cause?: unknown
}

/**
 * A command could not be started, failed, or was ended by a limit.
 *
 * `message` has everything; `shortMessage` leaves the output out.
 *
 * @see oslo_concurrency.processutils.ProcessExecutionError
 */
export class ProcessExecutionError extends ImageError {
  readonly code = 'PROCESS_EXECUTION_FAILED'
  readonly kind = 'failed'
  readonly command: readonly string[]
  readonly exitCode: number | undefined
  readonly signalName: string | undefined
  readonly stdout: string
  readonly stderr: string
  readonly durationMs: number
  readonly endReason: ProcessEndReason
  readonly shortMessage: string

  constructor(init: ProcessExecutionErrorInit) {
    const shortMessage = describe(init)
    const stdout = init.stdout ?? ''
    const stderr = init.stderr ?? ''
    const output = [stderr, stdout].map((text) => text.trim()).filter((text) => text !== '')
    super({ message: [shortMessage, ...output].join('\n'), cause: init.cause })
    this.command = init.command
    this.exitCode = init.exitCode
    this.signalName = init.signalName
    this.stdout = stdout
    this.stderr = stderr
    this.durationMs = init.durationMs ?? 0
    this.endReason = init.endReason
    this.shortMessage = shortMessage
  }
}

function describe(init: ProcessExecutionErrorInit): string {
  const command = init.command.join(' ')
  const how: Record<ProcessEndReason, string> = {
    exit: `Command failed with exit code ${init.exitCode ?? '?'}`,
    'not-installed': 'Command is not installed',
    'not-permitted': 'Command may not be run',
    signal: `Command was ended by ${init.signalName ?? 'a signal'}`,
    timeout: 'Command took longer than its time limit',
    'cpu-limit': 'Command used more CPU time than its limit',
    'memory-limit': 'Command needed more memory than its limit',
    'output-limit': 'Command printed more than its output limit',
    'file-size-limit': 'Command wrote a larger file than its limit',
  }
  return `${how[init.endReason]}: ${command}${init.advice === undefined ? '' : `\n${init.advice}`}`
}

/** Why a rule refuses, for a program and for a person. */
export interface Refusal {
  /** Stable name of the rule, in kebab case: `qcow2-backing-file`, `virtual-size`. */
  readonly rule: string
  /** One sentence for a person. */
  readonly reason: string
  /** What was found, printable, never longer than a line. */
  readonly found?: string | undefined
  /** Byte offset into the image at which it was found. */
  readonly offset?: number | undefined
  /** What would be accepted instead. */
  readonly accepted?: string | undefined
  /** The published vulnerability or bug behind the rule, for example `CVE-2024-32498`. */
  readonly reference?: string | undefined
}

/** The answer of a `judge…` function. */
export type Verdict = { readonly ok: true } | ({ readonly ok: false } & Refusal)
