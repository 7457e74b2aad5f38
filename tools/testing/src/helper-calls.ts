import childProcess, { type ChildProcess } from 'node:child_process'
import { syncBuiltinESMExports } from 'node:module'
import workerThreads from 'node:worker_threads'

/** What becomes of a thread or process that does something for this one. */
export type HelperFate = 'refused' | 'ends' | 'fails' | 'missing' | 'killed' | 'cut' | undefined

/** What {@link watchHelpers} asks. */
export interface HelperWatchOptions {
  /** A thread is to start: `refused` or undefined. */
  readonly onThread?: () => HelperFate
  /** A thread gets a message: it `ends` or `fails` before it answers, or undefined. */
  readonly onMessage?: () => HelperFate
  /** A process is to start: it is `missing`, is `killed` at once, its output is `cut`, or undefined. */
  readonly onProcess?: () => HelperFate
}

/** Watches the threads and processes that this process starts, until it is disposed; their threads end with it. */
export function watchHelpers(options: HelperWatchOptions): AsyncDisposable {
  const { Worker } = workerThreads
  const { spawn } = childProcess
  const started = new Set<workerThreads.Worker>()

  class Watched extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      if (options.onThread?.() === 'refused') {
        throw Object.assign(new Error('no thread, injected'), { code: 'ERR_WORKER_INIT_FAILED' })
      }
      super(...given)
      started.add(this)
      this.once('exit', () => started.delete(this))
    }

    override postMessage(...given: Parameters<workerThreads.Worker['postMessage']>): void {
      const fate = options.onMessage?.()
      if (fate === undefined) {
        super.postMessage(...given)
        return
      }
      const code = 'ERR_WORKER_OUT_OF_MEMORY'
      if (fate === 'fails') {
        process.nextTick(() => this.emit('error', Object.assign(new Error('no memory, injected'), { code })))
      }
      void this.terminate()
    }
  }

  const watched = (...given: Parameters<typeof spawn>): ChildProcess => {
    const fate = options.onProcess?.()
    if (fate === 'missing')
      return Reflect.apply(spawn, undefined, ['/nonexistent/tool', ...given.slice(1)]) as ChildProcess
    const child = spawn(...given)
    if (fate === 'killed') child.kill('SIGKILL')
    if (fate === 'cut') child.stdout?.destroy()
    return child
  }
  workerThreads.Worker = Watched
  childProcess.spawn = watched as typeof spawn
  syncBuiltinESMExports()
  return {
    async [Symbol.asyncDispose]() {
      workerThreads.Worker = Worker
      childProcess.spawn = spawn
      syncBuiltinESMExports()
      // Otherwise the next one would find them ready. Who let go of a thread holds up nothing: this waits for its end.
      const waiting = setInterval(() => undefined, 1000)
      await Promise.all([...started].map((thread) => thread.terminate()))
      clearInterval(waiting)
    },
  }
}
