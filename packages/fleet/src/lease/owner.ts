import { readdir, readFile, readlink } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

/** The process that has, or had, a lease. */
export interface Owner {
  /** One start of one machine, and there one namespace of process ids. */
  readonly machine: string
  readonly pid: number
  /** In the kernel's ticks since the machine's start: with the id it names one process. */
  readonly startTime: string
  /** Whether it wants to be killed rather than be at what is another's. */
  readonly endsAtOnce: boolean
}

/** What is told of this process. */
export async function describeOwner(endsAtOnce: boolean): Promise<Owner> {
  const { pid } = process
  return { machine: await machineId(), pid, startTime: (await statOf(pid))?.startTime ?? '', endsAtOnce }
}

/** Reads what an owner said of itself; undefined where nothing can be known of it. */
export function parseOwner(record: unknown): Owner | undefined {
  const { machine, pid, startTime, endsAtOnce } = fieldsOf(record)
  const isKnown = typeof machine === 'string' && machine !== '' && typeof startTime === 'string'
  if (!isKnown || startTime === '' || !Number.isSafeInteger(pid) || Number(pid) < 2) return undefined
  return { machine, pid: Number(pid), startTime, endsAtOnce: endsAtOnce === true }
}

/** What another process wrote may be anything. */
function fieldsOf(record: unknown): Partial<Record<keyof Owner, unknown>> {
  try {
    const said: unknown = JSON.parse(String(record))
    return typeof said === 'object' && said !== null ? said : {}
  } catch {
    return {}
  }
}

/**
 * Kills the process that had a lease before, with all that it started, where it runs on this machine and wants that:
 * it was stopped for longer than its lease, and what it would write when it goes on is written to what is another's.
 *
 * @returns whether nothing of it is left
 */
export async function endOwner(owner: Owner, patienceMs: number): Promise<boolean> {
  if (!owner.endsAtOnce || owner.pid === process.pid || owner.machine !== (await machineId())) return false
  const tree = await processesBelow(owner.pid)
  if (tree.get(owner.pid) !== owner.startTime) return true
  try {
    process.kill(owner.pid, 'SIGKILL')
  } catch {
    // Another user's, or gone by now.
  }
  const endMs = performance.now() + patienceMs
  for (;;) {
    const left = await Promise.all(
      [...tree].map(async ([pid, startTime]) => {
        const found = await statOf(pid)
        return found?.startTime === startTime && !'ZX'.includes(found.state)
      }),
    )
    if (!left.includes(true)) return true
    if (performance.now() > endMs) return false
    await delay(20)
  }
}

async function machineId(): Promise<string> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'latin1')
    return `${boot.trim()} ${await readlink('/proc/self/ns/pid')}`
  } catch {
    return ''
  }
}

interface ProcessStat {
  readonly state: string
  readonly parent: number
  readonly startTime: string
}

/** @see proc_pid_stat(5) */
async function statOf(pid: number | string): Promise<ProcessStat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  // The name in brackets may have anything in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state = '', parent, startTime = ''] = [fields[0], fields[1], fields[19]]
  return text === '' ? undefined : { state, parent: Number(parent), startTime }
}

/** A process and all that come from it, with when each began. */
async function processesBelow(root: number): Promise<Map<number, string>> {
  const all = new Map<number, ProcessStat>()
  for (const name of await readdir('/proc').catch(() => [])) {
    const found = /^\d+$/.test(name) ? await statOf(name) : undefined
    if (found !== undefined) all.set(Number(name), found)
  }
  const tree = new Map<number, string>()
  const add = (pid: number, startTime: string | undefined): void => {
    if (startTime === undefined || tree.has(pid)) return
    tree.set(pid, startTime)
    for (const [child, { parent, startTime: began }] of all) if (parent === pid) add(child, began)
  }
  add(root, all.get(root)?.startTime)
  return tree
}
