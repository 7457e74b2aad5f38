import { rm } from 'node:fs/promises'
import { adaptLogger, InvalidError, ProcessExecutionError, redact } from '@disk-image/core'
import type { Command, Logger, ProcessResult, ProcessRunner, RunOptions } from '@disk-image/core'
import { type EnteredSandbox, type SandboxMode, Sandboxes } from './enter-sandbox.ts'
import { defaultSearchPath, findExecutable, installAdvice } from './executable.ts'
import { type Launch, launch } from './launch.ts'
import type { HelperKill } from './process-group.ts'
import { findLaunchers, type Launchers, ownHardLimits } from './wrap-command.ts'
import { watchdogCommand, withinLimits, wrapCommand } from './wrap-command.ts'

/** Options of {@link createProcessRunner}. */
export interface ProcessRunnerOptions {
  /** Put before commands that run as root, for example `['sudo', '-n']`. @default none: as the own user */
  readonly rootHelper?: readonly string[] | undefined
  /** @default 'off' */
  readonly sandbox?: SandboxMode | undefined
  /** Gets every command at `debug`. @default silent */
  readonly logger?: Logger | undefined
  /** Variables over the small default environment; `PATH` is also where programs are looked for. */
  readonly environment?: Readonly<Record<string, string>> | undefined
}

/**
 * Runs programs by execa: own process group, limits, sandbox, root helper, bounded output. See the port in
 * core for what `run` promises.
 *
 * @throws {InvalidError} for an option that can't be
 */
export function createProcessRunner(options: ProcessRunnerOptions = {}): ProcessRunner {
  const { rootHelper = [], sandbox = 'off' } = options
  if (!['auto', 'require', 'off'].includes(sandbox)) {
    throw new InvalidError({
      reason: `sandbox must be 'auto', 'require' or 'off', not '${sandbox as string}'`,
    })
  }
  if (rootHelper.some((word) => typeof word !== 'string' || word === '' || word.includes('\0'))) {
    throw new InvalidError({ reason: 'rootHelper must be a list of words, for example ["sudo", "-n"]' })
  }
  const runner = new Runner(rootHelper, sandbox, options)
  return Object.freeze({ run: runner.run.bind(runner) })
}

class Runner implements ProcessRunner {
  readonly #rootHelper: readonly string[]
  readonly #logger: Logger
  readonly #environment: Readonly<Record<string, string>>
  readonly #searchPath: string
  readonly #sandboxes: Sandboxes
  #launchers: Promise<Launchers> | undefined

  constructor(rootHelper: readonly string[], mode: SandboxMode, options: ProcessRunnerOptions) {
    this.#rootHelper = rootHelper
    this.#logger = adaptLogger(options.logger)
    this.#environment = { PATH: defaultSearchPath, LC_ALL: 'C', ...options.environment }
    this.#searchPath = this.#environment['PATH'] ?? defaultSearchPath
    this.#sandboxes = new Sandboxes({
      mode,
      rootHelper,
      searchPath: this.#searchPath,
      works: this.#works,
      logger: this.#logger,
    })
  }

  async run(command: Command, options: RunOptions = {}): Promise<ProcessResult> {
    options.signal?.throwIfAborted()
    const needsRoot = options.asRoot === true && this.#rootHelper.length > 0
    const prefix = options.prefix ?? []
    const shown = [...(needsRoot ? this.#rootHelper : []), ...prefix, command.file, ...command.args]
    checkWords(shown)
    const file = await this.#resolve(command.file, shown)
    const environment: Record<string, string> = { ...this.#environment, ...options.environment }
    // Every thread's own arena reserves 64 MiB of address space, used or not.
    if (options.limits?.addressSpaceBytes !== undefined) environment['MALLOC_ARENA_MAX'] ??= '1'
    const rootHelper = await this.#resolveFirst(needsRoot ? this.#rootHelper : [], shown)
    const resolvedPrefix = await this.#resolveFirst(prefix, shown)
    const entered = await this.#sandboxes.enter(options.files, needsRoot, file, environment)
    const words = { rootHelper, prefix: resolvedPrefix, command: [file, ...command.args] as const }
    const prepared = await this.#prepare(words, shown, environment, entered, options)
    this.#logger.debug('run', { command: shown.map(redact), sandboxed: entered !== undefined })
    try {
      return await launch(prepared, { ...options, limits: prepared.limits })
    } catch (error) {
      // A file that was only made to be bound must not be taken for the command's result.
      await Promise.all((entered?.created ?? []).map((name) => rm(name, { force: true })))
      throw error
    }
  }

  /** Puts the command line together. */
  async #prepare(
    words: {
      readonly rootHelper: readonly string[]
      readonly prefix: readonly string[]
      readonly command: readonly [string, ...string[]]
    },
    shown: readonly string[],
    environment: Readonly<Record<string, string>>,
    entered: EnteredSandbox | undefined,
    options: RunOptions,
  ): Promise<Launch & Pick<RunOptions, 'limits'>> {
    this.#launchers ??= findLaunchers(this.#searchPath, this.#works, this.#logger)
    const { env, setpriv, prlimit } = await this.#launchers
    const shell = await findExecutable('sh', this.#searchPath)
    const limits = options.limits && withinLimits(options.limits, await ownHardLimits())
    const needsRoot = words.rootHelper.length > 0
    const wrapped = entered !== undefined || needsRoot
    const pipe = options.input === undefined ? 'stdin' : 'descriptor'
    // A command that is given input needs its standard input for that, and sudo closes all others.
    const watched = wrapped && shell !== undefined && !(needsRoot && pipe === 'descriptor') ? pipe : undefined
    const argv = wrapCommand({
      ...words,
      environment,
      env,
      watchdog: watched && shell ? watchdogCommand(shell, watched) : [],
      setpriv: entered === undefined ? setpriv : undefined,
      prlimit,
      limits,
      sandbox: entered?.argv ?? [],
    })
    const helperKill = needsRoot ? this.#helperKill : undefined
    return { argv, shown, environment, wrapped, watched, helperKill, limits }
  }

  async #resolve(name: string, shown: readonly string[]): Promise<string> {
    const file = await findExecutable(name, this.#searchPath)
    if (file !== undefined) return file
    throw new ProcessExecutionError({
      command: shown.map(redact),
      endReason: 'not-installed',
      advice: installAdvice(name),
    })
  }

  async #resolveFirst([first, ...rest]: readonly string[], shown: readonly string[]): Promise<string[]> {
    return first === undefined ? [] : [await this.#resolve(first, shown), ...rest]
  }

  readonly #works = async (argv: readonly [string, ...string[]]): Promise<boolean> => {
    const environment = this.#environment
    const plain = {
      argv,
      shown: argv,
      environment,
      wrapped: false,
      watched: undefined,
      helperKill: undefined,
    }
    return launch(plain, { timeoutMs: 10_000 }).then(
      () => true,
      () => false,
    )
  }

  readonly #helperKill: HelperKill = async (processGroup, signal) => {
    const kill = (await findExecutable('kill', this.#searchPath)) ?? 'kill'
    const [first, ...rest] = [...this.#rootHelper, kill, `-${signal}`, '--', `-${processGroup}`]
    if (first !== undefined) await this.#works([first, ...rest])
  }
}

function checkWords(words: readonly string[]): void {
  if (words.some((word) => typeof word !== 'string' || word.includes('\0'))) {
    throw new InvalidError({ reason: 'A command must be a list of words without NUL' })
  }
}
