import { availableParallelism } from 'node:os'
import { performance } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import { ProcessExecutionError, redact } from '@disk-image/core'
import type { ProcessEndReason, ProcessResult, RunOptions } from '@disk-image/core'
import { endAdvice, endSignal, nameEnd } from './end-reason.ts'
import { BoundedOutput, LineSplitter } from './output.ts'
import { endGroup, killGroup } from './process-group.ts'
import type { HelperKill } from './process-group.ts'

/** A command with everything that goes before it. */
export interface Launch {
  /** What is started. */
  readonly argv: readonly [string, ...string[]]
  /** What logs and errors show: the command without the wrappers. */
  readonly shown: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly wrapped: boolean
  /** Its standard input stays open for as long as it may run: see `watchdogCommand`. */
  readonly watched: boolean
  readonly helperKill: HelperKill | undefined
}

const defaultMaxOutputBytes = 16 * 1024 * 1024

/** Starts a prepared command, and sees to its end. See `ProcessRunner.run` for what it promises. */
export async function launch(prepared: Launch, options: RunOptions): Promise<ProcessResult> {
  options.signal?.throwIfAborted()
  // Loading it takes longer than many a transfer's whole preparation, and most transfers start no process.
  const { execa } = await import('execa')
  options.signal?.throwIfAborted()
  const started = performance.now()
  const limit = options.maxOutputBytes ?? defaultMaxOutputBytes
  const stdout = new BoundedOutput(limit)
  const stderr = new BoundedOutput(limit)
  const lines = options.onLine === undefined ? undefined : new LineSplitter(options.onLine)
  const [file, ...args] = prepared.argv
  const child = execa(file, args, {
    buffer: false,
    cleanup: true,
    encoding: 'buffer',
    env: prepared.environment,
    extendEnv: false,
    killDescendants: true,
    reject: false,
    ...(options.input === undefined
      ? { stdin: prepared.watched ? ('pipe' as const) : ('ignore' as const) }
      : { input: inputOf(options.input) }),
  })

  let stopped: ProcessEndReason | undefined
  let failure: { readonly error: unknown } | undefined
  let ending: Promise<void> | undefined
  const end = async (processGroup: number): Promise<void> => {
    await endGroup(processGroup, prepared.helperKill)
    // A descendant that left the group may hold the pipes open: they are not waited for.
    child.stdout?.destroy()
    child.stderr?.destroy()
    child.stdin?.destroy()
  }
  const stop = (): void => {
    if (child.pid === undefined) return
    ending ??= end(child.pid)
  }
  const stopFor = (reason: ProcessEndReason): void => {
    stopped ??= reason
    stop()
  }

  const fail = (error: unknown): void => {
    if (ending === undefined) failure ??= { error }
    stop()
  }
  const { onOutput } = options
  const passed = onOutput === undefined ? undefined : passOutput(child.stdout, onOutput).catch(fail)
  if (passed === undefined) {
    child.stdout?.on('data', (chunk: Buffer) => {
      if (!stdout.add(chunk)) stopFor('output-limit')
      try {
        if (failure === undefined && stopped === undefined) lines?.add(chunk)
      } catch (error) {
        fail(error)
      }
    })
  }
  child.stderr?.on('data', (chunk: Buffer) => {
    if (!stderr.add(chunk)) stopFor('output-limit')
  })
  options.signal?.addEventListener('abort', stop, { once: true })
  if (options.signal?.aborted === true) stop()
  const timer =
    options.timeoutMs === undefined ? undefined : setTimeout(() => stopFor('timeout'), options.timeoutMs)

  try {
    const result = await child
    await passed
    if (ending !== undefined) await ending
    // A leader that failed may leave others of its group behind.
    else if (result.failed && child.pid !== undefined) await killGroup(child.pid, prepared.helperKill)
    const durationMs = performance.now() - started
    options.signal?.throwIfAborted()
    if (failure !== undefined) throw failure.error
    const text = { stdout: stdout.text(), stderr: stderr.text() }
    if (stopped === undefined && result.exitCode === 0) {
      lines?.end()
      return { ...text, durationMs }
    }
    const end = {
      exitCode: result.exitCode,
      signalName: result.signal,
      stderr: text.stderr,
      durationMs,
      limits: options.limits,
      wrapped: prepared.wrapped,
      processors: availableParallelism(),
    }
    const startFailure = startFailureOf(result.cause)
    const endReason = stopped ?? startFailure ?? nameEnd(end)
    throw new ProcessExecutionError({
      command: prepared.shown.map(redact),
      exitCode: result.exitCode,
      signalName: endSignal(end),
      stdout: redact(text.stdout),
      stderr: redact(text.stderr),
      durationMs,
      endReason,
      advice: endAdvice(endReason, end),
      cause: startFailure === undefined ? undefined : result.cause,
    })
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', stop)
  }
}

/** A command that ends before it took everything says by its exit code what that means; the pipe's word is not needed. */
function inputOf(input: NonNullable<RunOptions['input']>): string | Uint8Array | Readable {
  return typeof input === 'string' || input instanceof Uint8Array
    ? input
    : Readable.from(input, { objectMode: false })
}

async function passOutput(
  stdout: AsyncIterable<Uint8Array> | null,
  take: NonNullable<RunOptions['onOutput']>,
): Promise<void> {
  for await (const bytes of stdout ?? []) await take(bytes)
}

function startFailureOf(cause: unknown): ProcessEndReason | undefined {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  const systemCall = (cause as NodeJS.ErrnoException | undefined)?.syscall
  if (systemCall?.startsWith('spawn') !== true) return undefined
  return code === 'ENOENT' ? 'not-installed' : 'not-permitted'
}
