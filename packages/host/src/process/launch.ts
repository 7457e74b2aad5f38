import { availableParallelism } from 'node:os'
import { performance } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import type { execa as Execa } from 'execa'
import { ProcessExecutionError, redact } from '@disk-image/core'
import type { ProcessEndReason, ProcessResult, RunOptions } from '@disk-image/core'
import { endAdvice, endSignal, nameEnd } from './end-reason.ts'
import { BoundedOutput, LineSplitter } from './output.ts'
import { endGroup, killGroup } from './process-group.ts'
import type { HelperKill } from './process-group.ts'
import type { WatchdogPipe } from './wrap-command.ts'

/** A command with everything that goes before it. */
export interface Launch {
  /** What is started. */
  readonly argv: readonly [string, ...string[]]
  /** What logs and errors show: the command without the wrappers. */
  readonly shown: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly wrapped: boolean
  /** What stays open for as long as it may run: see `watchdogCommand`. */
  readonly watched: WatchdogPipe | undefined
  readonly helperKill: HelperKill | undefined
}

const defaultMaxOutputBytes = 16 * 1024 * 1024

/** Starts a prepared command, and sees to its end. See `ProcessRunner.run` for what it promises. */
export async function launch(prepared: Launch, options: RunOptions): Promise<ProcessResult> {
  const { signal, timeoutMs } = options
  signal?.throwIfAborted()
  // Loading it takes longer than many a transfer's whole preparation, and most transfers start no process.
  const { execa } = await import('execa')
  signal?.throwIfAborted()
  const started = performance.now()
  const child = start(execa, prepared, options)
  const early = new EarlyEnd(child, prepared.helperKill)
  const output = new CollectedOutput(child, options, early)
  const stop = (): void => early.stop()
  signal?.addEventListener('abort', stop, { once: true })
  if (signal?.aborted === true) stop()
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => early.stop('timeout'), timeoutMs)
  try {
    const result = await child
    await output.passed
    await early.settle(result.failed)
    const durationMs = performance.now() - started
    signal?.throwIfAborted()
    if (early.failure !== undefined) throw early.failure.error
    if (early.reason === undefined && result.exitCode === 0) {
      output.lines?.end()
      return { stdout: output.stdout.text(), stderr: output.stderr.text(), durationMs }
    }
    throw executionError(prepared, options, output, { result, durationMs, stopped: early.reason })
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}

function start(
  execa: typeof Execa,
  { argv: [file, ...args], environment, watched }: Launch,
  { input }: RunOptions,
) {
  return execa(file, args, {
    buffer: false,
    cleanup: true,
    encoding: 'buffer',
    env: environment,
    extendEnv: false,
    killDescendants: true,
    reject: false,
    stdio: [
      input === undefined && watched === undefined ? 'ignore' : 'pipe',
      'pipe',
      'pipe',
      ...(watched === 'descriptor' ? ['pipe' as const] : []),
    ],
    ...(input === undefined ? {} : { input: inputOf(input) }),
  })
}

type Child = ReturnType<typeof start>

/** What ends a process, with all of its group, before it ends by itself. */
class EarlyEnd {
  readonly #child: Child
  readonly #helperKill: HelperKill | undefined
  #ending: Promise<void> | undefined
  #reason: ProcessEndReason | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(child: Child, helperKill: HelperKill | undefined) {
    this.#child = child
    this.#helperKill = helperKill
  }

  /** Why it was stopped; undefined where it was not, or by the signal. */
  get reason(): ProcessEndReason | undefined {
    return this.#reason
  }

  /** What those threw who take its output. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }

  stop(reason?: ProcessEndReason): void {
    this.#reason ??= reason
    if (this.#child.pid !== undefined) this.#ending ??= this.#end(this.#child.pid)
  }

  fail(error: unknown): void {
    if (this.#ending === undefined) this.#failure ??= { error }
    this.stop()
  }

  /** Waits until nothing of the group is left, when its leader has ended. */
  async settle(leaderFailed: boolean): Promise<void> {
    if (this.#ending !== undefined) await this.#ending
    // A leader that failed may leave others of its group behind.
    else if (leaderFailed && this.#child.pid !== undefined) await killGroup(this.#child.pid, this.#helperKill)
  }

  async #end(processGroup: number): Promise<void> {
    const { stdin, stdout, stderr } = this.#child
    await endGroup(processGroup, this.#helperKill)
    // A descendant that left the group may hold the pipes open: they are not waited for.
    stdout?.destroy()
    stderr?.destroy()
    stdin?.destroy()
  }
}

/** What a process writes: kept up to a limit, and handed on as it comes. */
class CollectedOutput {
  readonly stdout: BoundedOutput
  readonly stderr: BoundedOutput
  readonly lines: LineSplitter | undefined
  /** Settles when all of the output was handed on that somebody else takes. */
  readonly passed: Promise<void> | undefined

  constructor(child: Child, options: RunOptions, early: EarlyEnd) {
    const { maxOutputBytes = defaultMaxOutputBytes, onLine, onOutput } = options
    this.stdout = new BoundedOutput(maxOutputBytes)
    this.stderr = new BoundedOutput(maxOutputBytes)
    this.lines = onLine === undefined ? undefined : new LineSplitter(onLine)
    const keep = (into: BoundedOutput, chunk: Buffer): void => {
      if (!into.add(chunk)) early.stop('output-limit')
    }
    if (onOutput === undefined) {
      child.stdout?.on('data', (chunk: Buffer) => {
        keep(this.stdout, chunk)
        try {
          if (early.failure === undefined && early.reason === undefined) this.lines?.add(chunk)
        } catch (error) {
          early.fail(error)
        }
      })
    } else {
      this.passed = passOutput(child.stdout, onOutput).catch((error: unknown) => early.fail(error))
    }
    child.stderr?.on('data', (chunk: Buffer) => keep(this.stderr, chunk))
  }
}

function executionError(
  prepared: Launch,
  { limits }: RunOptions,
  output: CollectedOutput,
  ended: {
    readonly result: Pick<Awaited<Child>, 'exitCode' | 'signal' | 'cause'>
    readonly durationMs: number
    readonly stopped: ProcessEndReason | undefined
  },
): ProcessExecutionError {
  const { durationMs, stopped } = ended
  const { exitCode, signal: signalName, cause } = ended.result
  const [stdout, stderr] = [output.stdout.text(), output.stderr.text()]
  const { wrapped } = prepared
  const end = {
    exitCode,
    signalName,
    stderr,
    durationMs,
    limits,
    wrapped,
    processors: availableParallelism(),
  }
  const startFailure = startFailureOf(cause)
  const endReason = stopped ?? startFailure ?? nameEnd(end)
  return new ProcessExecutionError({
    command: prepared.shown.map(redact),
    exitCode,
    signalName: endSignal(end),
    stdout: redact(stdout),
    stderr: redact(stderr),
    durationMs,
    endReason,
    advice: endAdvice(endReason, end),
    cause: startFailure === undefined ? undefined : cause,
  })
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
