import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { ReadableFormat } from '@disk-image/disk'

/** An image to read. */
export interface ReadRequest {
  /** `wrapped`: not a disk, but what it may be wrapped in. */
  readonly format: ReadableFormat | 'wrapped'
  /** The files are in `in`; what is read goes into `ours`, as a stream into `streamed`. */
  readonly folder: string
  /** By name, the image first, then the other files of a set. */
  readonly files: readonly string[]
  readonly seed: number
}

/** What came of one way to read it: all of it, a refusal, something that is not compared, or a fault. */
export interface ReadResult {
  readonly sizeBytes?: number
  /** Of an envelope: the names of what was in it, and its layers. */
  readonly members?: readonly (string | undefined)[]
  readonly opened?: readonly string[]
  readonly rule?: string
  readonly skipped?: true
  readonly error?: string
}

export interface ReadOutcome {
  readonly read: ReadResult
  readonly streamed: ReadResult
}

/** A reader hangs that takes longer; on a busy machine the right ones take some seconds. */
const timeoutMs = 60_000
/** A process with only our readers built has 54 MiB, and 200 MiB are what it may have; here the sources are compiled, too. */
const mostGrownKiB = 146 * 1024

/** A process that reads images. It may open nothing outside a folder, and only so much memory. */
export class ReaderProcess implements AsyncDisposable {
  readonly #folder: string
  #child: ChildProcess | undefined
  #ended: Promise<never> | undefined
  /** Most memory that it had at once, over what it began with, of all images so far. */
  mostGrownKiB = 0
  #startKiB = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /** @throws where it hangs, ends, takes too much memory or has a fault */
  async read(request: ReadRequest): Promise<ReadOutcome> {
    const child = (this.#child ??= await this.#start())
    // Only what this image takes counts.
    await writeFile(`/proc/${child.pid}/clear_refs`, '5')
    child.send(request)
    const outcome = await this.#next(child)
    const grownKiB = (await peakKiB(child)) - this.#startKiB
    this.mostGrownKiB = Math.max(this.mostGrownKiB, grownKiB)
    if (grownKiB > mostGrownKiB) throw await this.#giveUp(`it takes ${grownKiB} KiB of memory`)
    const fault = outcome.read.error ?? outcome.streamed.error
    if (fault !== undefined) throw new Error(`no refusal: ${fault}`)
    return outcome
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#giveUp('over')
  }

  async #start(): Promise<ChildProcess> {
    const [code, packages] = ['reader-child.ts', '../../../../..'].map((name) =>
      fileURLToPath(new URL(name, import.meta.url)),
    ) as [string, string]
    const child = fork(code, {
      execArgv: [
        '--conditions=@disk-image/source',
        '--disable-warning=SecurityWarning',
        '--expose-gc',
        '--permission',
        `--allow-fs-read=${packages}`,
        `--allow-fs-read=${this.#folder}`,
        `--allow-fs-write=${this.#folder}`,
        '--allow-worker',
        '--allow-child-process',
      ],
    })
    this.#child = child
    this.#ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`the reader ended with ${String(code)} (${String(signal)})`)
    })
    this.#ended.catch(() => undefined)
    await this.#next(child)
    this.#startKiB = await peakKiB(child)
    return child
  }

  async #next(child: ChildProcess): Promise<ReadOutcome> {
    const timer = AbortSignal.timeout(timeoutMs)
    try {
      const message = once(child, 'message', { signal: timer })
      const [outcome] = (await Promise.race([message, this.#ended])) as [ReadOutcome]
      return outcome
    } catch (error) {
      throw timer.aborted ? await this.#giveUp('it hangs') : error
    }
  }

  async #giveUp(why: string): Promise<Error> {
    const child = this.#child
    this.#child = undefined
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    return new Error(why)
  }
}

async function peakKiB({ pid }: ChildProcess): Promise<number> {
  return Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1])
}
