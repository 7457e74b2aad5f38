import type { Hash } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { ImageDownloadFailedError, ImageNotAuthorizedError, ImageNotFoundError } from '@disk-image/core'
import type { ByteSink, DownloadOptions, DownloadReport } from '@disk-image/core'
import { readAgain, sizeOf, Transfer } from '@disk-image/io'
import type { ExpectedImage, TransferResult } from '@disk-image/io'
import {
  ConnectionBrokenError,
  HttpConnectionFailedError,
  HttpStatusError,
  ReplacedError,
} from '../errors.ts'
import type { BodyTaker } from '../transport/answer-body.ts'
import { isPassing } from '../transport/http.ts'
import type { ResponseHead } from '../transport/http1.ts'
import { delay } from '../transport/timeouts.ts'
import { fetchParallel } from './fetch-parallel.ts'
import { isRequestedRange, retryText } from './origin.ts'
import type { DownloadOrigin, DownloadTools } from './origin.ts'
import { TransferLimitError, watchStall } from '../transport/timeouts.ts'
import type { StallWatch } from '../transport/timeouts.ts'

/** A download that was cut this often is given up, however far it came each time. */
const maximumResumes = 1000

/**
 * Hands the bytes of an image to a sink: whole, in order, each once and verified, over as many connections as it takes.
 *
 * @throws {ImageDownloadFailedError}; what the origin's `translate` and `unreachable` make; what the sink throws; after
 * an abort the signal's reason
 */
export async function download(
  origin: DownloadOrigin,
  sink: ByteSink,
  options: DownloadOptions,
  tools: DownloadTools,
): Promise<DownloadReport> {
  options.signal?.throwIfAborted()
  const beganMs = performance.now()
  using watch = watchStall(tools.timeouts, options.signal)
  await using running = new Download(origin, sink, { ...options, watch }, tools)
  const result = await running.run()
  options.signal?.throwIfAborted()
  return { ...result, resumes: running.resumes, durationSeconds: (performance.now() - beganMs) / 1000 }
}

/** Runs a part of a download; an end by its own limits becomes the download's error. */
export async function whileWatched<T>(
  name: string,
  signal: AbortSignal | undefined,
  watch: StallWatch,
  act: () => Promise<T>,
  isPartial: () => boolean = () => false,
): Promise<T> {
  try {
    return await act()
  } catch (error) {
    signal?.throwIfAborted()
    const reason: unknown = watch.signal.reason
    if (watch.signal.aborted && error === reason && reason instanceof TransferLimitError) {
      const partial = isPartial()
      throw new ImageDownloadFailedError({ imageId: name, reason: reason.message, partial, cause: error })
    }
    throw error
  }
}

/** A download under way. Dispose of it. */
export class Download implements AsyncDisposable {
  readonly #origin: DownloadOrigin
  readonly #sink: ByteSink
  readonly #options: DownloadOptions & { readonly watch: StallWatch }
  readonly #tools: DownloadTools
  #transfer: Transfer | undefined
  #size: number | undefined
  /** Of all that was taken, where only that tells whether an answer is of the same image. */
  #taken: Hash | undefined
  /** How often a broken connection was continued. */
  resumes = 0
  /** Whether the server can start in the middle, as far as is known. */
  #ranges = true
  /** Whether the server ever answered with data. */
  #answered = false

  constructor(
    origin: DownloadOrigin,
    sink: ByteSink,
    options: DownloadOptions & { readonly watch: StallWatch },
    tools: DownloadTools,
  ) {
    this.#origin = origin
    this.#sink = sink
    this.#options = options
    this.#tools = tools
    if (origin.expected !== undefined) this.#open(origin.expected)
  }

  async run(): Promise<TransferResult> {
    const { signal, watch } = this.#options
    const act = async (): Promise<TransferResult> => {
      await this.#readAgain()
      await this.#fetchAll()
      watch.pause()
      return this.#opened().finish()
    }
    return whileWatched(this.#origin.name, signal, watch, act, () => this.#partial)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transfer?.close()
  }

  /** The server's data are not the image's. */
  wrongData(reason: string): ImageDownloadFailedError {
    return new ImageDownloadFailedError({ imageId: this.#origin.name, reason, partial: this.#partial })
  }

  get #partial(): boolean {
    return this.#transfer?.partial ?? false
  }

  /** Bytes taken so far, with those read again. */
  get #received(): number {
    return this.#transfer?.received ?? 0
  }

  /** From now on it is known what the bytes must be. */
  #open(image: ExpectedImage): Transfer {
    const { verify, additionalHashes, checksums, onProgress } = this.#options
    const origin = this.#origin
    this.#size = sizeOf(image)
    if (origin.comparesAgain === true)
      this.#taken = process.getBuiltinModule('node:crypto').createHash('sha256')
    return (this.#transfer = new Transfer(
      this.#sink,
      {
        image,
        verify,
        additionalHashes,
        checksums,
        get promises() {
          return origin.promises
        },
        hashForReport: origin.hashForReport,
        onProgress: (progress) => onProgress?.({ ...progress, resumes: this.resumes }),
      },
      this.#tools,
    ))
  }

  #opened(): Transfer {
    const { name, expected = { id: name } } = this.#origin
    return this.#transfer ?? this.#open(expected)
  }

  /** Brings the hash up to what the caller has already. */
  async #readAgain(): Promise<void> {
    const { resumeFrom, signal, watch } = this.#options
    if (resumeFrom === undefined) return
    const transfer = this.#opened()
    if (this.#size !== undefined && resumeFrom.bytes > this.#size) {
      throw this.wrongData(`the part to continue has ${resumeFrom.bytes} bytes, the image ${this.#size}.`)
    }
    watch.pause()
    const taken = this.#taken
    const read = taken === undefined ? () => resumeFrom.read() : () => hashing(resumeFrom.read(), taken)
    await readAgain(transfer, { bytes: resumeFrom.bytes, read }, signal)
    watch.resume()
  }

  async #fetchAll(): Promise<void> {
    const { connections = 1, watch } = this.#options
    const size = this.#size
    if (size !== undefined && size > 0 && this.#received === size) return
    if (connections > 1 && size !== undefined && this.#taken === undefined) {
      const { signal } = watch
      const transfer = this.#opened()
      const take = async (bytes: Uint8Array): Promise<void> => {
        watch.pause()
        await transfer.push(bytes)
        watch.resume()
      }
      const arrived = (bytes: number): void => watch.progress(bytes)
      const fetch = { connections, signal, from: transfer.received, size, arrived, take }
      await fetchParallel(this.#origin, fetch, this.#tools.logger)
      if (transfer.received === size) return
    }
    await this.#fetchInTurn()
  }

  /** Requests what is missing until nothing is. */
  async #fetchInTurn(): Promise<void> {
    const { retries, logger } = this.#tools
    const origin = this.#origin
    for (let failures = 0; ;) {
      const before = this.#received
      let failure: unknown
      try {
        const again = this.resumes > 0 || failures > 0
        if (again && before > 0) await origin.checkSame?.(this.#options.watch.signal)
        if (await this.#fetchRest()) return
      } catch (error) {
        failure = error
        if (!isWorthAnotherTry(error)) throw this.#failed(error)
      }
      const further = this.#received > before
      failures = further ? 0 : failures + 1
      if (failures > retries || this.resumes >= maximumResumes) throw this.#failed(failure)
      if (this.#answered) this.resumes += 1
      if (failure instanceof ConnectionBrokenError && !further) origin.nextServer?.()
      const retryAfter = failure instanceof HttpStatusError ? failure.retryAfterMs : undefined
      const wait = further ? 0 : this.#tools.waitMs(failures - 1, retryAfter)
      const reason = failure ?? new Error('the server can’t start in the middle')
      const retry = retryText(reason, wait, failures, retries)
      logger.warn(`Resuming the download at byte ${this.#received} ${retry}`, { imageId: origin.name })
      await delay(wait, this.#options.watch.signal)
    }
  }

  /** One request. @returns whether the image is complete */
  async #fetchRest(): Promise<boolean> {
    const offset = this.#received
    const asked = offset > 0 && this.#ranges
    const { head, error } = await this.#origin.fetch({
      range: asked ? { first: offset } : undefined,
      signal: this.#options.watch.signal,
      takeBody: (answer) => (this.#begins(answer, offset, asked) ? this.#taker(answer, offset) : undefined),
    })
    const { status } = head
    if (status === 204) throw this.wrongData('image contains no data.')
    if (status === 200 || (status === 206 && this.#ranges && asked)) {
      if (this.#size === undefined || this.#received === this.#size) return true
      const reason = `the data ended after ${this.#received} of ${this.#size} bytes`
      throw new ConnectionBrokenError('body', reason)
    }
    if (asked && (status === 206 || status === 400 || status === 416)) {
      // The server can't start in the middle, or answers something else: from the start, without what is there already.
      this.#ranges = false
      return false
    }
    if (error !== undefined) throw error
    const reason = `the service answered with the unexpected status ${status}`
    throw new ConnectionBrokenError('body', reason, { fatal: true })
  }

  /** Whether an answer has the data that were asked for. @throws {ImageDownloadFailedError} where they can't be the image's */
  #begins({ status, headers }: ResponseHead, offset: number, asked: boolean): boolean {
    if (status === 206) {
      const [size, last] = [this.#size, this.#size === undefined ? undefined : this.#size - 1]
      this.#ranges &&= asked && isRequestedRange(headers.get('content-range'), offset, last, size)
      if (!this.#ranges) return false
    } else if (status !== 200) {
      return false
    }
    this.#answered = true
    this.#opened()
    const size = this.#size
    const length = headers.get('content-length')
    if (status === 200 && size !== undefined && length !== undefined && Number(length) > size) {
      throw this.wrongData(`the service announced ${length} bytes, the image has ${size}.`)
    }
    if (size === undefined && length === undefined && !headers.has('transfer-encoding')) {
      throw this.wrongData('neither the image nor the answer says how long the data is.')
    }
    return true
  }

  #taker({ status }: ResponseHead, offset: number): BodyTaker {
    const transfer = this.#opened()
    const { watch } = this.#options
    let skip = status === 200 ? offset : 0
    const again =
      skip > 0 && this.#taken !== undefined
        ? process.getBuiltinModule('node:crypto').createHash('sha256')
        : undefined
    return {
      nextBuffer: () => transfer.nextBuffer(),
      take: (bytes) => {
        let part = bytes
        if (skip > 0) {
          part = bytes.subarray(Math.min(skip, bytes.length))
          skip -= bytes.length - part.length
          again?.update(bytes.subarray(0, bytes.length - part.length))
          if (skip === 0) this.#compare(again)
          if (part.length === 0) return undefined
        }
        this.#taken?.update(part)
        const wait = transfer.push(part)
        watch.progress(part.length)
        if (wait === undefined) return undefined
        watch.pause()
        return wait.finally(() => watch.resume())
      },
    }
  }

  /** What came again must be what came before. */
  #compare(again: Hash | undefined): void {
    if (again === undefined || again.digest('hex') === this.#taken?.copy().digest('hex')) return
    throw new ReplacedError('its first bytes are others now')
  }

  /** The error that the download ends with. */
  #failed(error: unknown): unknown {
    const origin = this.#origin
    const isStatus = error instanceof HttpStatusError
    const translated = isStatus ? (origin.translate?.(error) ?? error) : error
    if (translated !== error) {
      const gone = translated instanceof ImageNotFoundError || translated instanceof ImageNotAuthorizedError
      if (gone || !this.#partial) return translated
    }
    if (isStatus && !this.#partial && !isPassing(error.status)) return error
    if (error instanceof ReplacedError) return this.wrongData(error.message)
    const known = error instanceof ConnectionBrokenError || isStatus
    if (known && !this.#answered) {
      const { message: reason } = error
      return origin.unreachable?.(reason, error) ?? new HttpConnectionFailedError({ reason, cause: error })
    }
    if (!known && !(error instanceof HttpConnectionFailedError) && error !== undefined) return error
    return new ImageDownloadFailedError({
      imageId: origin.name,
      reason: `${error === undefined ? 'the service could not continue it' : error.message}, after ${this.#received} bytes.`,
      partial: this.#partial,
      cause: error,
    })
  }
}

async function* hashing(bytes: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const part of bytes) {
    hash.update(part)
    yield part
  }
}

/** Whether the next connection may do better. */
function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof ConnectionBrokenError) return !error.fatal
  if (error instanceof HttpConnectionFailedError) return true
  return error instanceof HttpStatusError && isPassing(error.status)
}
