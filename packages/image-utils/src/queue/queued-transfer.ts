import type { ImageToVolumeRequest } from '../image-to-volume/request.ts'
import type { Transfer, TransferOutcome, TransferState } from './transfer.ts'

/** A transfer as the queue sees it. */
export class QueuedTransfer implements Transfer {
  readonly request: ImageToVolumeRequest
  readonly outcome: Promise<TransferOutcome>
  /** Made when it begins: of very many, few run. */
  #abort: AbortController | undefined
  readonly #resolve: (outcome: TransferOutcome) => void
  readonly #onEnd: (transfer: QueuedTransfer) => void
  #state: TransferState = 'waiting'
  #unfollow: (() => void) | undefined
  result: TransferOutcome | undefined

  constructor(request: ImageToVolumeRequest, onEnd: (transfer: QueuedTransfer) => void) {
    this.request = request
    this.#onEnd = onEnd
    const { promise, resolve } = Promise.withResolvers<TransferOutcome>()
    this.outcome = promise
    this.#resolve = resolve
  }

  get state(): TransferState {
    return this.#state
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    return this.#abort.signal
  }

  follow(signal: AbortSignal | undefined): void {
    if (signal === undefined) return
    const onAbort = (): void => this.cancel(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#unfollow = () => signal.removeEventListener('abort', onAbort)
  }

  begin(): void {
    this.#abort ??= new AbortController()
    this.#state = 'running'
  }

  cancel(reason: unknown = new DOMException('The transfer was cancelled.', 'AbortError')): void {
    if (this.#state === 'waiting') this.end({ state: 'cancelled', reason })
    else if (this.#state === 'running') this.#abort?.abort(reason)
  }

  end(outcome: TransferOutcome): void {
    if (this.result !== undefined) return
    this.result = outcome
    this.#state = outcome.state
    this.#unfollow?.()
    this.#abort = undefined
    this.#onEnd(this)
    this.#resolve(outcome)
  }
}
