import type { Logger } from '@disk-image/core'
import { findExecutable } from './executable.ts'

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
