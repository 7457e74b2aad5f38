import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** What a process has open, runs and left. */
export interface Census {
  /** Where its handles lead, but for what Node.js itself needs. */
  readonly handles: readonly string[]
  readonly threads: number
  /** Command lines. */
  readonly children: readonly string[]
  readonly files: readonly string[]
}

/** Counts this process's handles, threads and children, and the files in folders. */
export function takeCensus(folders: readonly string[]): Census {
  const tasks = readdirSync('/proc/self/task')
  return {
    handles: readdirSync('/proc/self/fd')
      .flatMap((fd) => linkOf(`/proc/self/fd/${fd}`))
      // Node.js opens pipes and epolls for a thread, and for its first child, and keeps some for the next one.
      .map((target) => target.replace(/^(socket|pipe):.*/, '$1'))
      .filter((target) => !target.startsWith('/proc/'))
      .toSorted(),
    threads: tasks.length,
    children: tasks.flatMap((task) => childrenOf(task)),
    files: folders.flatMap((folder) => filesIn(folder)).toSorted(),
  }
}

/** What is more now than it was before; each as a sentence. */
export function surplus(before: Census, now: Census): string[] {
  return [
    ...more(before.handles, now.handles).map((handle) => `handle ${handle}`),
    ...(now.threads > before.threads ? [`${now.threads} threads, not ${before.threads}`] : []),
    ...more(before.children, now.children).map((child) => `child ${child}`),
    ...more(before.files, now.files).map((file) => `file ${file}`),
  ]
}

/**
 * Waits until nothing is more than it was; idle threads and connections end after some seconds.
 *
 * @param matters whether one of the sentences counts
 * @returns what is left
 */
export async function settle(
  before: Census,
  folders: readonly string[],
  { mostMs = 6000, matters = () => true }: { mostMs?: number; matters?: (one: string) => boolean } = {},
): Promise<readonly string[]> {
  const end = performance.now() + mostMs
  for (;;) {
    const left = surplus(before, takeCensus(folders)).filter(matters)
    if (left.length === 0 || performance.now() > end) return left
    await delay(5)
  }
}

function more(before: readonly string[], now: readonly string[]): string[] {
  const rest = [...before]
  return now.filter((one) => {
    const index = rest.indexOf(one)
    if (index !== -1) rest.splice(index, 1)
    return index === -1
  })
}

function linkOf(path: string): string[] {
  try {
    return [readlinkSync(path)]
  } catch {
    return []
  }
}

function childrenOf(task: string): string[] {
  try {
    const ids = readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ')
    return ids
      .filter((id) => id.trim() !== '')
      .map((id) => readFileSync(`/proc/${id}/cmdline`, 'latin1').replaceAll('\0', ' '))
  } catch {
    return []
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true }).map((name) => `${folder}/${String(name)}`)
  } catch {
    return []
  }
}
