import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** Sends a signal to a process group by way of a root helper, for a group that isn't ours to signal. */
export type HelperKill = (processGroup: number, signal: 'TERM' | 'KILL') => Promise<void>

/** Between asking and forcing. */
const graceMs = 250
/** How long to wait for the kernel to clear a killed group away. */
const goneWithinMs = 600

/** @returns whether the group still exists */
function signalGroup(processGroup: number, signal: 'SIGTERM' | 'SIGKILL' | 0): 'sent' | 'gone' | 'forbidden' {
  try {
    process.kill(-processGroup, signal)
    return 'sent'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? 'forbidden' : 'gone'
  }
}

async function send(processGroup: number, signal: 'TERM' | 'KILL', helper: HelperKill | undefined) {
  if (signalGroup(processGroup, `SIG${signal}`) === 'forbidden') await helper?.(processGroup, signal)
}

/**
 * Ends a process group: SIGTERM, after a short grace SIGKILL, and back only when it is gone (or, should the
 * kernel hold on to it in an uninterruptible read, after less than a second in all).
 */
export async function endGroup(processGroup: number, helper?: HelperKill): Promise<void> {
  await send(processGroup, 'TERM', helper)
  // Without its first process nobody is left in it to end well.
  await until(async () => (await isGone(processGroup)) || !(await isRunning(processGroup)), graceMs)
  if (await isGone(processGroup)) return
  await send(processGroup, 'KILL', helper)
  await until(() => isGone(processGroup), goneWithinMs)
}

/** Forces a group to end at once, without waiting. */
export async function killGroup(processGroup: number, helper?: HelperKill): Promise<void> {
  await send(processGroup, 'KILL', helper)
}

async function until(holds: () => Promise<boolean>, milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds
  while (!(await holds()) && performance.now() < end) await sleep(10)
}

async function isGone(processGroup: number): Promise<boolean> {
  return signalGroup(processGroup, 0) === 'gone' || !(await hasRunningMember(processGroup))
}

/** Without /proc nothing is known of it, and it counts as one that runs. */
async function isRunning(pid: number): Promise<boolean> {
  const found = await readStat(pid)
  return found === undefined ? (await readStat('self')) === undefined : found.runs
}

/**
 * Whether a process of the group still runs. The kernel counts the dead ones too until somebody reaps them,
 * which the first process of a container often never does.
 */
async function hasRunningMember(processGroup: number): Promise<boolean> {
  const names = await readdir('/proc').catch(() => undefined)
  if (names === undefined) return true
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue
    const found = await readStat(name)
    if (found?.group === processGroup && found.runs) return true
  }
  return false
}

async function readStat(pid: number | string): Promise<{ group: number; runs: boolean } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  if (text === '') return undefined
  const [state, , group] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { group: Number(group), runs: state !== 'Z' && state !== 'X' }
}
