import { rm, stat } from 'node:fs/promises'
import path from 'node:path'
import {
  adaptLogger,
  InvalidError,
  NotSupportedOperationError,
  ProcessExecutionError,
  redact,
} from '@disk-image/core'
import type {
  Command,
  Logger,
  ProcessFileAccess,
  ProcessResult,
  ProcessRunner,
  RunOptions,
} from '@disk-image/core'
import { installAdvice } from './advice.ts'
import { defaultSearchPath, findExecutable } from './executable.ts'
import { launch } from './launch.ts'
import { findLaunchers } from './launchers.ts'
import type { Launchers } from './launchers.ts'
import { ownHardLimits, withinLimits } from './own-limits.ts'
import type { HelperKill } from './process-group.ts'
import { openDescriptors, prepareFiles, sandboxCommand, withDescriptors } from './sandbox.ts'
import type { Binding } from './sandbox.ts'
import { watchdogCommand } from './watchdog.ts'
import { wrapCommand } from './wrap-command.ts'

/** Whether commands that declare their files run in a sandbox. */
export type SandboxMode =
  /** Where bubblewrap works; otherwise without, which is logged. */
  | 'auto'
  /** Always; a command is refused where bubblewrap does not work. */
  | 'require'
  | 'off'

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

/** bubblewrap where it works. */
interface UsableSandbox {
  readonly program: string
  /** Opens what is bound by descriptor; absent where bubblewrap can't do that. */
  readonly shell: string | undefined
}

const sandboxAdvice =
  'Install it with: apt-get install bubblewrap. Where it is installed and does not work, unprivileged user namespaces are off (see kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns).'

/**
 * Runs programs by execa: own process group, limits, sandbox, root helper, bounded output. See the port in
 * core for what `run` promises.
 *
 * @throws {InvalidError} for an option that can't be
 */
export function createProcessRunner(options: ProcessRunnerOptions = {}): ProcessRunner {
  const rootHelper = options.rootHelper ?? []
  const sandbox = options.sandbox ?? 'off'
  const logger = adaptLogger(options.logger)
  if (!['auto', 'require', 'off'].includes(sandbox)) {
    throw new InvalidError({
      reason: `sandbox must be 'auto', 'require' or 'off', not '${sandbox as string}'`,
    })
  }
  if (rootHelper.some((word) => typeof word !== 'string' || word === '' || word.includes('\0'))) {
    throw new InvalidError({ reason: 'rootHelper must be a list of words, for example ["sudo", "-n"]' })
  }
  const environment: Readonly<Record<string, string>> = {
    PATH: defaultSearchPath,
    LC_ALL: 'C',
    ...options.environment,
  }
  const searchPath = environment['PATH'] ?? defaultSearchPath

  const works = async (argv: readonly [string, ...string[]]): Promise<boolean> => {
    try {
      const prepared = {
        argv,
        shown: argv,
        environment,
        wrapped: false,
        watched: false,
        helperKill: undefined,
      }
      await launch(prepared, { timeoutMs: 10_000 })
      return true
    } catch {
      return false
    }
  }

  let launchers: Promise<Launchers> | undefined
  const sandboxes = new Map<boolean, Promise<UsableSandbox | undefined>>()

  /** bubblewrap's path where it works for this kind of call; tried once. */
  const usableSandbox = (throughHelper: boolean): Promise<UsableSandbox | undefined> => {
    const known = sandboxes.get(throughHelper)
    if (known !== undefined) return known
    const found = probeSandbox(throughHelper).then((usable) => {
      if (usable === undefined && sandbox === 'auto') {
        logger.info('bubblewrap is not usable: tools run without a sandbox')
      }
      return usable
    })
    sandboxes.set(throughHelper, found)
    return found
  }
  const probeSandbox = async (throughHelper: boolean): Promise<UsableSandbox | undefined> => {
    const [program, nothing] = await Promise.all([
      findExecutable('bwrap', searchPath),
      findExecutable('true', searchPath),
    ])
    if (program === undefined || nothing === undefined) return undefined
    const asRoot = throughHelper || process.getuid?.() === 0
    const settings = { program, asRoot, overrideFilePermissions: asRoot, environment: {} }
    const starts = async (bindings: readonly Binding[]): Promise<boolean> => {
      const argv = [...(throughHelper ? rootHelper : []), ...sandboxCommand(settings, bindings), nothing]
      const [first, ...rest] = argv
      return first !== undefined && (await works([first, ...rest]))
    }
    // Older versions bind names only. Standard input is there, and its name inside means nothing.
    if (await starts([{ path: '/proc/1/fd/0', mode: 'read', descriptor: 0 }])) {
      return { program, shell: await findExecutable('sh', searchPath) }
    }
    return (await starts([])) ? { program, shell: undefined } : undefined
  }

  const helperKill: HelperKill = async (processGroup, signal) => {
    const kill = (await findExecutable('kill', searchPath)) ?? 'kill'
    const [first, ...rest] = [...rootHelper, kill, `-${signal}`, '--', `-${processGroup}`]
    if (first !== undefined) await works([first, ...rest])
  }

  const resolve = async (name: string, shown: readonly string[]): Promise<string> => {
    const file = await findExecutable(name, searchPath)
    if (file !== undefined) return file
    throw new ProcessExecutionError({
      command: shown.map(redact),
      endReason: 'not-installed',
      advice: installAdvice(name),
    })
  }

  /** The part of the command line that makes the sandbox, or nothing. */
  const enterSandbox = async (
    files: ProcessFileAccess,
    throughHelper: boolean,
    file: string,
    variables: Readonly<Record<string, string>>,
  ): Promise<{ readonly argv: readonly string[]; readonly created: readonly string[] } | undefined> => {
    const usable = await usableSandbox(throughHelper)
    if (usable === undefined) {
      if (sandbox === 'require') {
        throw new NotSupportedOperationError({
          operation: 'sandbox',
          reason: `bubblewrap is not usable. ${sandboxAdvice}`,
        })
      }
      return undefined
    }
    const ownId = process.getuid?.() ?? 0
    const asRoot = throughHelper || ownId === 0
    const prepared = await prepareFiles(files, asRoot ? 0 : ownId)
    const { program, shell } = usable
    const settings = { program, asRoot, overrideFilePermissions: prepared.foreign, environment: variables }
    const shown = shell === undefined ? prepared.bindings : withDescriptors(prepared.bindings)
    const bindings = [...(await programBindings(file)), ...shown]
    const opened = shell === undefined ? [] : openDescriptors(shell, bindings)
    return { argv: [...opened, ...sandboxCommand(settings, bindings)], created: prepared.created }
  }

  const run = async (command: Command, runOptions: RunOptions = {}): Promise<ProcessResult> => {
    runOptions.signal?.throwIfAborted()
    const throughHelper = runOptions.asRoot === true && rootHelper.length > 0
    const prefix = runOptions.prefix ?? []
    const shown = [...(throughHelper ? rootHelper : []), ...prefix, command.file, ...command.args]
    checkWords(shown)
    const file = await resolve(command.file, shown)
    const [helper, wrappedPrefix] = await Promise.all(
      [throughHelper ? rootHelper : [], prefix].map(async ([first, ...rest]) =>
        first === undefined ? [] : [await resolve(first, shown), ...rest],
      ),
    )
    launchers ??= findLaunchers(searchPath, works, logger)
    const { env, setpriv, prlimit } = await launchers
    // A command that is given input needs its standard input for that.
    const shell = runOptions.input === undefined ? await findExecutable('sh', searchPath) : undefined
    const variables: Record<string, string> = { ...environment, ...runOptions.environment }
    // Every thread's own arena reserves 64 MiB of address space, used or not.
    if (runOptions.limits?.addressSpaceBytes !== undefined) variables['MALLOC_ARENA_MAX'] ??= '1'
    const entered =
      sandbox === 'off' || runOptions.files === undefined
        ? undefined
        : await enterSandbox(runOptions.files, throughHelper, file, variables)
    const { limits: wanted } = runOptions
    const limits = wanted === undefined ? undefined : withinLimits(wanted, await ownHardLimits())
    const wrapped = entered !== undefined || throughHelper
    const watched = wrapped && shell !== undefined
    const argv = wrapCommand({
      rootHelper: helper ?? [],
      environment: variables,
      env,
      watchdog: watched ? watchdogCommand(shell) : [],
      prefix: wrappedPrefix ?? [],
      setpriv: entered === undefined ? setpriv : undefined,
      prlimit,
      limits,
      sandbox: entered?.argv ?? [],
      command: [file, ...command.args],
    })
    logger.debug('run', { command: shown.map(redact), sandboxed: entered !== undefined })
    try {
      const kill = throughHelper ? helperKill : undefined
      const prepared = { argv, shown, environment: variables, wrapped, watched, helperKill: kill }
      return await launch(prepared, { ...runOptions, limits })
    } catch (error) {
      // A file that was only made to be bound must not be taken for the command's result.
      await Promise.all((entered?.created ?? []).map((name) => rm(name, { force: true })))
      throw error
    }
  }
  return Object.freeze({ run })
}

function checkWords(words: readonly string[]): void {
  if (words.some((word) => typeof word !== 'string' || word.includes('\0'))) {
    throw new InvalidError({ reason: 'A command must be a list of words without NUL' })
  }
}

const systemProgram = /^\/(?:usr|bin|sbin)\//

/** A program from outside the system's directories is shown too, with the libraries of its own installation. */
async function programBindings(file: string): Promise<Binding[]> {
  if (systemProgram.test(file)) return []
  const folder = path.dirname(file)
  const libraries =
    path.basename(folder) === 'bin'
      ? ['lib', 'lib64'].map((name) => path.join(path.dirname(folder), name))
      : []
  const present = await Promise.all(libraries.map((name) => stat(name).then(Boolean, () => false)))
  return [file, ...libraries.filter((_, index) => present[index])].map((name) => ({
    path: name,
    mode: 'read',
  }))
}
