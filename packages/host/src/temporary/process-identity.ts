import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

/**
 * When a process started, in the kernel's clock ticks since boot: with the process id it names one process
 * for good, where the id alone is given out again. Undefined where there is no such process, or no `/proc`.
 *
 * @see proc_pid_stat(5), field 22
 */
export function startTicks(processId: number): number | undefined {
  try {
    // No disk is behind it: to wait for it would take longer than to read it.
    const text = readFileSync(`/proc/${processId}/stat`, 'latin1')
    // The second field is the program's name in brackets and may itself hold brackets and spaces.
    const ticks = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19])
    return Number.isSafeInteger(ticks) ? ticks : undefined
  } catch {
    return undefined
  }
}

/**
 * Six characters for this host: on a shared folder, process ids of another one mean nothing here. FNV-1a, since it
 * keeps no secret, and `node:crypto` takes 4 ms to load.
 */
export function hostTag(): string {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(hostname())) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0').slice(2)
}

/** Whether the process that is meant still runs. */
export function isAlive(processId: number, started: number): boolean {
  const ticks = startTicks(processId)
  if (ticks !== undefined) return started === 0 || ticks === started
  try {
    process.kill(processId, 0)
    // It runs, but can't be told from another one with its id: nothing of it is touched.
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
