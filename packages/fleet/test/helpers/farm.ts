import path from 'node:path'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { ImageMetadata, ImageService } from '@disk-image/core'
import { createDirectoryImageService } from '@disk-image/image-utils/directory'
import { requireTool } from '@disk-image/testing'
import type { WorkerConfig } from './worker-child.ts'

const child = fileURLToPath(new URL('worker-child.ts', import.meta.url))

/** One line of the journal that workers keep. */
export interface JournalEntry {
  readonly what: string
  /** The volume, the image of a download, or the words of a warning. */
  readonly volume: string
  readonly pid: number
  readonly host: string
  readonly atMs: number
}

/** A worker as a process of its own. */
export interface WorkerProcess {
  readonly pid: number
  readonly name: string
  readonly ended: Promise<unknown>
  kill(signal: NodeJS.Signals): void
}

/** A folder with a store of images, volumes, and workers over them. */
export interface Farm extends AsyncDisposable {
  readonly directory: string
  readonly volumes: string
  readonly store: ImageService
  readonly kills: Map<number, number>
  file(name: string): string
  /** Puts random bytes into a store; returns the id and the bytes' hash. */
  addImage(sizeBytes: number, metadata?: ImageMetadata, into?: ImageService): Promise<TestImage>
  start(
    config: Partial<WorkerConfig> & Pick<WorkerConfig, 'redis' | 'host'>,
    prefix?: readonly string[],
  ): Promise<WorkerProcess>
  killAll(): Promise<void>
  journal(): Promise<JournalEntry[]>
}

/** An image whose bytes are known. */
export interface TestImage {
  readonly id: string
  readonly sha256: string
  /** Of what a worker that spoils its bytes makes of it. */
  readonly spoiledSha256: string
}

/** What a worker that spoils its bytes makes of some. */
export function spoil(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte) => byte ^ 0x5a)
}

/** Milliseconds of the machine's own clock, the same in every process. */
export function nowMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/** The SHA-256 of a file. */
export async function sha256(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** The id that the first process of a namespace has outside of it. */
async function onlyChild(pid: number): Promise<number> {
  return Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1')).trim())
}

/** Makes a farm. Workers that are left at its end are killed. */
export async function createFarm(): Promise<Farm> {
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-fleet-'))
  const volumes = path.join(directory, 'volumes')
  await mkdir(volumes)
  const store = createDirectoryImageService({ directory: path.join(directory, 'store') })
  const running = new Set<ChildProcess>()
  const pids = new Map<ChildProcess, number>()
  const kills = new Map<number, number>()
  const journalFile = path.join(directory, 'journal')
  let count = 0
  const start: Farm['start'] = async (config, prefix = []) => {
    count += 1
    const whole: WorkerConfig = {
      name: `worker-${count}`,
      store: path.join(directory, 'store'),
      volumes,
      conversion: path.join(directory, `conversion-${config.host}`),
      leaseMs: 3000,
      journal: journalFile,
      ...config,
    }
    // Whatever ends this process ends its workers, and what stands between.
    const tied = [requireTool('setpriv', 'util-linux'), '--pdeathsig', 'KILL']
    const words = [
      ...tied,
      ...prefix,
      ...tied,
      process.execPath,
      '--conditions=@disk-image/source',
      child,
      JSON.stringify(whole),
    ]
    const started = spawn(words[0] ?? '', words.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] })
    running.add(started)
    // Its own, which is another one where sudo stands between.
    let pid = started.pid ?? 0
    const ended = once(started, 'exit').then((how) => {
      running.delete(started)
      kills.set(pid, nowMs())
      return how
    })
    const ready = await Promise.race([once(started.stdout, 'data'), ended])
    if (!String(ready[0]).includes('ready')) throw new Error(`The worker ended at once: ${String(ready)}`)
    pid =
      prefix[0]?.endsWith('/unshare') === true
        ? await onlyChild(started.pid ?? 0)
        : Number(/ready (\d+)/.exec(String(ready[0]))?.[1])
    pids.set(started, pid)
    return {
      pid,
      name: whole.name,
      ended,
      kill: (signal) => {
        try {
          process.kill(pid, signal)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
        }
      },
    }
  }
  const killAll = async (): Promise<void> => {
    const left = [...running]
    const gone = left.map((process_) => once(process_, 'exit'))
    left.forEach((child_) => kill(pids.get(child_) ?? child_.pid ?? 0))
    await Promise.all(gone)
  }
  return {
    directory,
    volumes,
    store,
    kills,
    file: (name) => path.join(directory, name),
    addImage: async (sizeBytes, metadata = {}, into = store) => {
      const bytes = randomBytes(sizeBytes)
      // No boot sector, and nothing else that an inspector knows.
      bytes.fill(0, 0, Math.min(512, sizeBytes))
      const { id } = await into.create(
        {},
        { name: 'image', disk_format: 'raw', container_format: 'bare', ...metadata },
        {
          data: {
            size: bytes.length,
            open: async function* open() {
              yield bytes
            },
          },
        },
      )
      const [right, spoiled] = [bytes, spoil(bytes)].map((of) =>
        createHash('sha256').update(of).digest('hex'),
      )
      return { id, sha256: right ?? '', spoiledSha256: spoiled ?? '' }
    },
    start,
    killAll,
    journal: async () => {
      const text = await readFile(journalFile, 'utf8').catch(() => '')
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as JournalEntry)
    },
    [Symbol.asyncDispose]: async () => {
      await killAll()
      await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}

/** Pairs of runs that wrote the same volume at the same time. There must be none. */
export function overlaps(entries: readonly JournalEntry[], kills: ReadonlyMap<number, number>): string[] {
  const open = new Map<string, JournalEntry[]>()
  const found: string[] = []
  for (const entry of entries.toSorted((left, right) => left.atMs - right.atMs)) {
    if (entry.what !== 'begin' && entry.what !== 'end') continue
    const writing = (open.get(entry.volume) ?? []).filter(
      // What its process was killed before is not written any more.
      ({ pid }) => (kills.get(pid) ?? Infinity) > entry.atMs,
    )
    if (entry.what === 'end') {
      const index = writing.findIndex(({ pid }) => pid === entry.pid)
      if (index >= 0) writing.splice(index, 1)
    } else {
      for (const other of writing) found.push(`${entry.volume}: ${other.pid} and ${entry.pid}`)
      writing.push(entry)
    }
    open.set(entry.volume, writing)
  }
  return found
}
