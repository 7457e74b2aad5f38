import type { Worker } from 'node:worker_threads'
import { ThreadEndedError } from '../errors.ts'
import type { ThreadAnswer, ThreadMessage } from './serve-requests.ts'

/** A request, and what becomes of it: exactly one of these is called, once. */
export interface Task<Request, Reply> {
  readonly request: Request
  readonly resolve: (reply: Reply) => void
  readonly reject: (error: unknown) => void
  /** The thread ended before it answered. */
  readonly lose: (error: Error) => void
}

/** One worker thread of a pool. */
export class Thread<Request, Reply> {
  readonly #worker: Worker
  readonly #onChange: () => void
  readonly #pending = new Map<number, Task<Request, Reply>>()
  #nextId = 0
  #ready = false
  #ended = false
  /** Lanes that keep to it. */
  lanes = 0

  /** @param onChange called when it is ready, has answered, or has ended */
  constructor(worker: Worker, onChange: () => void) {
    this.#worker = worker
    this.#onChange = onChange
    worker.on('message', (answer: ThreadAnswer<Reply>) => this.#receive(answer))
    worker.on('error', (error) => this.#end(new ThreadEndedError(error)))
    worker.on('exit', () => this.#end(new ThreadEndedError()))
  }

  /** Whether its program runs. */
  get ready(): boolean {
    return this.#ready
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Requests that it has not answered. */
  get pending(): number {
    return this.#pending.size
  }

  send(lane: number, task: Task<Request, Reply>): void {
    if (this.#ended) {
      task.lose(new ThreadEndedError())
      return
    }
    this.hold(true)
    const message: ThreadMessage<Request> = { id: this.#nextId, lane, request: task.request }
    this.#nextId += 1
    this.#pending.set(message.id, task)
    this.#post(message)
  }

  /** Has it forget what it keeps for a lane. */
  leave(lane: number): void {
    this.lanes -= 1
    if (!this.#ended) this.#post({ id: undefined, lane })
    this.#onChange()
  }

  /** Whether it holds up the end of the process. */
  hold(holds: boolean): void {
    if (holds) this.#worker.ref()
    else this.#worker.unref()
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  #post(message: ThreadMessage<Request>): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#worker.postMessage(message)
  }

  #receive(answer: ThreadAnswer<Reply>): void {
    this.#ready = true
    if (answer.id !== undefined) {
      const task = this.#pending.get(answer.id)
      this.#pending.delete(answer.id)
      if ('error' in answer) task?.reject(answer.error)
      else task?.resolve(answer.reply)
    }
    this.#onChange()
  }

  #end(error: Error): void {
    if (this.#ended) return
    this.#ended = true
    const tasks = [...this.#pending.values()]
    this.#pending.clear()
    for (const task of tasks) task.lose(error)
    this.#onChange()
  }
}
