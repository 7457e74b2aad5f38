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
  if (await goneWithin(processGroup, graceMs)) return
  await send(processGroup, 'KILL', helper)
  await goneWithin(processGroup, goneWithinMs)
}

/** Forces a group to end at once, without waiting. */
export async function killGroup(processGroup: number, helper?: HelperKill): Promise<void> {
  await send(processGroup, 'KILL', helper)
}

async function goneWithin(processGroup: number, milliseconds: number): Promise<boolean> {
  const end = performance.now() + milliseconds
  for (;;) {
    if (signalGroup(processGroup, 0) === 'gone' || !(await hasRunningMember(processGroup))) return true
    if (performance.now() >= end) return false
    await sleep(10)
  }
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
    const text = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')
    const [state, , group] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    if (Number(group) === processGroup && state !== 'Z' && state !== 'X') return true
  }
  return false
}
