import {
  ImageError,
  type ImageNotFoundError,
  type ProcessExecutionError,
  type Refusal,
} from '@disk-image/core'
import { type ExitCode, exitCodes } from './exit-code.ts'
import { UsageError } from './usage-error.ts'

/** An error as the command tells it: the exit code, and what `--json` prints under `error`. */
export interface Failure {
  readonly exitCode: ExitCode
  readonly error: { readonly code: string; readonly message: string } & Partial<Omit<Refusal, 'reason'>>
  /** What to do about it, for a person. */
  readonly advice: string | undefined
}

/** Lines of a tool's output that are shown. */
const shownOutputLines = 5

/**
 * What an error means for the command.
 *
 * - a cancelled run: 130, whatever the operation made of it
 * - a wrong command line or configuration: 2
 * - an image refused by a rule, or too big: 3
 * - no such image or store: 4
 * - the account, or this user, may not: 5
 * - everything else, wrong files and paths included: 1
 */
export function toFailure(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted) {
    return {
      exitCode: exitCodes.cancelled,
      error: { code: 'CANCELLED', message: 'Cancelled. What was temporary is removed.' },
      advice: undefined,
    }
  }
  if (error instanceof UsageError) {
    return { exitCode: exitCodes.usage, error: { code: 'USAGE', message: error.message }, advice: undefined }
  }
  if (ImageError.is(error)) return ofImageError(error)
  return ofSystemError(error)
}

function ofImageError(error: ImageError): Failure {
  const { rule, found, offset, accepted, reference } = error as ImageError & Partial<Refusal>
  const details = { rule, found, offset, accepted, reference }
  const present = Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined))
  return {
    exitCode: exitCodeOf(error),
    error: { code: error.code, message: messageOf(error), ...present },
    advice: adviceFor(error),
  }
}

function exitCodeOf({ kind, code }: ImageError): ExitCode {
  // As where it is found before anything is sent.
  if (code === 'CONFIGURATION' || code === 'AMBIGUOUS_IMAGE_NAME') return exitCodes.usage
  switch (kind) {
    case 'refused':
      return exitCodes.refused
    case 'not-found':
      return exitCodes.notFound
    case 'not-authorized':
      return exitCodes.notAllowed
    case 'invalid':
    case 'failed':
      return exitCodes.failed
    default:
      return exitCodes.failed
  }
}

function messageOf(error: ImageError): string {
  if (error.code !== 'PROCESS_EXECUTION_FAILED') return error.message
  const { command, endReason, exitCode, shortMessage, stderr } = error as ProcessExecutionError
  const lines = stderr
    .trim()
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-shownOutputLines)
  // What the tool says is what matters; its whole command line is for --verbose.
  const said = endReason === 'exit' && lines.length > 0
  return [said ? `${command[0]} failed with exit code ${exitCode}:` : shortMessage, ...lines].join('\n')
}

function adviceFor(error: ImageError): string | undefined {
  switch (error.code) {
    case 'IMAGE_NOT_FOUND':
      // What a registry or S3 lacks is in no store.
      return /^(?:oci|s3):/.test((error as ImageNotFoundError).imageId)
        ? undefined
        : 'See which images there are: disk-image image list'
    case 'GLANCE_CONNECTION_FAILED':
      return 'Is it running, and is its address right? See --glance URL, --cloud NAME and the OS_* variables.'
    case 'IDENTITY_UNREACHABLE':
      return 'Is the identity service running, and is auth_url right? See --cloud NAME and the OS_* variables.'
    case 'CONFIGURATION':
    case 'AUTHENTICATION_FAILED':
    case 'NOT_AUTHORIZED':
    case 'IMAGE_NOT_AUTHORIZED':
      return 'Check the account and its project: --cloud NAME, OS_CLOUD, or the OS_* variables.'
    case 'IMAGE_UNACCEPTABLE':
      return (error as ImageError & { rule?: string }).rule === 'disk-image'
        ? 'Where a raw disk holds just that, --allow-archives-as-raw takes it.'
        : undefined
    case 'IMAGE_DOWNLOAD_FAILED':
      return (error as ImageError & { partial?: boolean }).partial === true
        ? 'What was written so far must not be used; run the command again.'
        : undefined
    default:
      return undefined
  }
}

const systemMessages: Readonly<Record<string, (path: string) => string>> = {
  ENOENT: (path) => `There is no file ${path}.`,
  ENOTDIR: (path) => `${path} is inside something that is no folder.`,
  EISDIR: (path) => `${path} is a folder, not a file.`,
  EACCES: (path) => `This user may not open ${path}.`,
  EPERM: (path) => `This user may not do that with ${path}.`,
  EROFS: (path) => `${path} is on a file system that can't be written.`,
  EEXIST: (path) => `${path} exists already, and is not replaced.`,
  ENOSPC: (path) => `There is no space left for ${path}.`,
  EBUSY: (path) => `${path} is in use by another program.`,
}

function ofSystemError(error: unknown): Failure {
  const { code, path, message } = (
    error instanceof Error ? error : new Error(String(error))
  ) as NodeJS.ErrnoException
  const explain = code === undefined ? undefined : systemMessages[code]
  const known = code !== undefined && /^E[A-Z0-9]+$/.test(code)
  return {
    exitCode: code === 'EACCES' || code === 'EPERM' ? exitCodes.notAllowed : exitCodes.failed,
    error: {
      code: known ? code : 'UNEXPECTED',
      message: explain !== undefined && path !== undefined ? explain(path) : message,
    },
    advice: known ? undefined : 'This should not have happened. --verbose shows where it did.',
  }
}
