import { readFile } from 'node:fs/promises'
import type { Logger, ProcessLimits } from '@disk-image/core'
import { findExecutable } from './executable.ts'

/** The parts that a command line is put together from; every program is an absolute path. */
export interface CommandParts {
  /** `['sudo', '-n']`, or nothing. */
  readonly rootHelper: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /** `env`'s absolute path: a root helper clears the environment. */
  readonly env: string
  /** What ends the command with its caller; see `watchdogCommand`. */
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

/**
 * A command that ends, with its whole process group, which must be its own, when a pipe to this process does: its
 * standard input, or descriptor 3. What runs below a root helper isn't ours to tie to this process, and may not be
 * signalled by it; what runs in a sandbox is tied to its parent only some milliseconds after its start, and waits for ever
 * for one that is killed before. But the pipe closes with this process, however that ends.
 *
 * A group that is asked to end (SIGTERM) loses the outer process of a sandbox, but not the inner one, which is the first
 * of its namespace and can only be killed. So who watches ignores that, and stays where the command was ended by a signal.
 *
 * @see https://github.com/containers/bubblewrap/issues/633, pid_namespaces(7)
 *
 * The script is constant and takes the command as its parameters: nothing of it is ever read as shell.
 */
const watch = `trap '' TERM INT HUP
(trap - TERM INT HUP; exec "$@") 3<&- <&4 4<&- &
child=$!
{ read -r _ <&3; kill -KILL 0; } </dev/null >/dev/null 2>&1 4<&- &
watcher=$!
exec 3<&- 4<&- </dev/null
wait "$child"
status=$?
test "$status" -gt 128 || kill -KILL "$watcher" 2>/dev/null
exit "$status"`

const scripts = {
  /** The command has nothing to read. */
  stdin: `exec 3<&0 4</dev/null\n${watch}`,
  /** It has its standard input for itself. */
  descriptor: `exec 4<&0\n${watch}`,
}

/** Through what pipe a watchdog learns that its caller has ended. */
export type WatchdogPipe = keyof typeof scripts

/** What goes before a command so that it ends with that pipe. */
export function watchdogCommand(shell: string, pipe: WatchdogPipe): readonly string[] {
  return [shell, '-c', scripts[pipe], 'watchdog']
}

/** The small programs of util-linux and coreutils that go before a command. */
export interface Launchers {
  readonly env: string
  readonly setpriv: string | undefined
  readonly prlimit: string | undefined
}

/** Finds the launchers, and tries whether this machine's `setpriv` knows `--pdeathsig` (BusyBox's does not). */
export async function findLaunchers(
  searchPath: string,
  works: (argv: readonly [string, ...string[]]) => Promise<boolean>,
  logger: Logger,
): Promise<Launchers> {
  const [env, setpriv, prlimit, nothing] = await Promise.all(
    ['env', 'setpriv', 'prlimit', 'true'].map((name) => findExecutable(name, searchPath)),
  )
  const tied =
    setpriv !== undefined &&
    nothing !== undefined &&
    (await works([setpriv, '--pdeathsig', 'KILL', '--', nothing]))
  const limited =
    prlimit !== undefined && nothing !== undefined && (await works([prlimit, '--cpu=9:10', '--', nothing]))
  if (!tied) logger.warn('setpriv is not usable: a child may outlive a killed parent')
  if (!limited) logger.warn('prlimit is not usable: limits on CPU time, memory and files are not set')
  return {
    env: env ?? '/usr/bin/env',
    setpriv: tied ? setpriv : undefined,
    prlimit: limited ? prlimit : undefined,
  }
}

/** The hard limits of this process; without /proc none is known. */
export async function ownHardLimits(): Promise<ProcessLimits> {
  return parseHardLimits(await readFile('/proc/self/limits', 'latin1').catch(() => ''))
}

/** Reads `/proc/PID/limits`: a name, the soft limit, the hard one, a unit. What is unlimited is left out. */
export function parseHardLimits(text: string): ProcessLimits {
  const hard = (name: string): number | undefined => {
    const [, digits] = new RegExp(`^${name} +\\S+ +(\\d+)`, 'm').exec(text) ?? []
    return digits === undefined ? undefined : Number(digits)
  }
  return {
    cpuSeconds: hard('Max cpu time'),
    addressSpaceBytes: hard('Max address space'),
    fileSizeBytes: hard('Max file size'),
  }
}

/**
 * Nobody but root can give a child a higher limit than its own hard one: `prlimit` would fail, and nothing would run.
 * CPU time ends a second sooner, because the child's hard limit is a second above its soft one.
 */
export function withinLimits(wanted: ProcessLimits, own: ProcessLimits): ProcessLimits {
  const least = (limit: number | undefined, most: number | undefined): number | undefined =>
    limit === undefined || most === undefined ? limit : Math.min(limit, most)
  const mostSeconds = own.cpuSeconds === undefined ? undefined : Math.max(0, own.cpuSeconds - 1)
  return {
    cpuSeconds: least(wanted.cpuSeconds, mostSeconds),
    addressSpaceBytes: least(wanted.addressSpaceBytes, own.addressSpaceBytes),
    fileSizeBytes: least(wanted.fileSizeBytes, own.fileSizeBytes),
  }
}
