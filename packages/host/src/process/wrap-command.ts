import type { ProcessLimits } from '@disk-image/core'

/** The parts that a command line is put together from; every program is an absolute path. */
export interface CommandParts {
  /** `['sudo', '-n']`, or nothing. */
  readonly rootHelper: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** `env`'s absolute path: a root helper clears the environment. */
  readonly env: string
  /** What ends the command with its standard input; see `watchdogCommand`. */
  readonly watchdog: readonly string[]
  readonly prefix: readonly string[]
  /** `setpriv`'s absolute path, where it is there and nothing else ties the child to its parent. */
  readonly setpriv: string | undefined
  readonly prlimit: string | undefined
  readonly limits: ProcessLimits | undefined
  readonly sandbox: readonly string[]
  readonly command: readonly [string, ...string[]]
}

/**
 * Root helper, environment, watchdog, throttle prefix, parent-death signal, limits, sandbox, command: behind the
 * watchdog each step execs the next one, so that they are one process, and each works with what the ones before
 * left it.
 */
export function wrapCommand(parts: CommandParts): readonly [string, ...string[]] {
  const environment = Object.entries(parts.environment).map(([name, value]) => `${name}=${value}`)
  const [first, ...rest] = [
    ...parts.rootHelper,
    ...(parts.rootHelper.length > 0 ? [parts.env, ...environment] : []),
    ...parts.watchdog,
    ...parts.prefix,
    ...(parts.setpriv === undefined ? [] : [parts.setpriv, '--pdeathsig', 'KILL', '--']),
    ...limitArguments(parts.prlimit, parts.limits),
    ...parts.sandbox,
    ...parts.command,
  ]
  return [first ?? parts.command[0], ...rest]
}

function limitArguments(prlimit: string | undefined, limits: ProcessLimits | undefined): string[] {
  const { cpuSeconds, addressSpaceBytes, fileSizeBytes } = limits ?? {}
  const none = [cpuSeconds, addressSpaceBytes, fileSizeBytes].every((limit) => limit === undefined)
  if (prlimit === undefined || none) return []
  return [
    prlimit,
    // One second between the soft limit and the hard one: SIGXCPU has a name, SIGKILL has many causes.
    ...(cpuSeconds === undefined ? [] : [`--cpu=${Math.ceil(cpuSeconds)}:${Math.ceil(cpuSeconds) + 1}`]),
    ...(addressSpaceBytes === undefined ? [] : [`--as=${Math.ceil(addressSpaceBytes)}`]),
    ...(fileSizeBytes === undefined ? [] : [`--fsize=${Math.ceil(fileSizeBytes)}`]),
    '--',
  ]
}
