import { ImageError } from './image-error.ts'

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
