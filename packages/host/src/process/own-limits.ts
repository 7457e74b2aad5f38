import { readFile } from 'node:fs/promises'
import type { ProcessLimits } from '@disk-image/core'

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
