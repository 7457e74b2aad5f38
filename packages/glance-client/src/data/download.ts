import { performance } from 'node:perf_hooks'
import {
  checkImageId,
  ImageDownloadFailedError,
  ImageNotAuthorizedError,
  ImageNotFoundError,
} from '@disk-image/core'
import type { ByteSink, DownloadOptions, DownloadReport, RequestContext } from '@disk-image/core'
import { hasHash, readAgain, sizeOf, Transfer } from '@disk-image/io'
import type { TransferResult } from '@disk-image/io'
import { imageError } from '../api/answer-errors.ts'
import type { GlanceImage } from '../api/answers.ts'
import { retryText } from '../api/api.ts'
import { GlanceConnectionFailedError, GlanceHttpError } from '../errors.ts'
import type { BodyTaker } from '../transport/answer-body.ts'
import { ConnectionBrokenError } from '../transport/connection-error.ts'
import { isPassing } from '../transport/http.ts'
import type { ResponseHead } from '../transport/http1.ts'
import { delay } from '../transport/timeouts.ts'
import { dataPath, isRequestedRange, sendData } from './data-channel.ts'
import type { DataChannelOptions } from './data-channel.ts'
import { announcedHash, compareLate } from './late-hash.ts'
import { fetchParallel } from './parallel-download.ts'
import { TransferLimitError, watchStall } from './stall-watch.ts'
import type { StallWatch } from './stall-watch.ts'

/** Options of a download from Glance. */
export interface GlanceDownloadOptions extends DownloadOptions {
  readonly context?: RequestContext | undefined
  /** The image's record, where the caller has just read it: then it is not read again before the data. */
  readonly image?: GlanceImage | undefined
}

/** A download that was cut this often is given up, however far it came each time. */
const maximumResumes = 1000

/**
 * Hands an image's data to a sink: whole, in order and verified, over as many connections as it takes.
 *
 * @see DataChannelOptions for limits
 */
export async function download(
  channel: DataChannelOptions,
  imageId: string,
  sink: ByteSink,
  options: GlanceDownloadOptions,
): Promise<DownloadReport> {
  checkImageId(imageId)
  options.signal?.throwIfAborted()
  const beganMs = performance.now()
  using watch = watchStall(channel.timeouts, options.signal)
  const image =
    options.image ??
    (await whileWatched(imageId, options, watch, () => {
      channel.hashPool.warm()
      return channel.show(imageId, { context: options.context, signal: watch.signal })
    }))
  const late =
    hasHash(image) || (options.verify ?? 'fallback') !== 'fallback' ? undefined : announcedHash(image)
  const more = late === undefined ? [] : [late.nodeAlgorithm, 'md5']
  const running = new Download(channel, { image, sink, options, watch, additionalHashes: more })
  try {
    const result = await running.run()
    options.signal?.throwIfAborted()
    const verified = late === undefined ? result : await compareLate(running, result, late)
    return { ...verified, resumes: running.resumes, durationSeconds: (performance.now() - beganMs) / 1000 }
  } finally {
    await running.transfer.close()
  }
}

/** Runs a part of the download; an end by its own limits becomes the download's error. */
async function whileWatched<T>(
  imageId: string,
  options: GlanceDownloadOptions,
  watch: StallWatch,
  act: () => Promise<T>,
  transfer?: Transfer,
): Promise<T> {
  try {
    return await act()
  } catch (error) {
    options.signal?.throwIfAborted()
    const reason: unknown = watch.signal.reason
    if (watch.signal.aborted && error === reason && reason instanceof TransferLimitError) {
      throw new ImageDownloadFailedError({
        imageId,
        reason: reason.message,
        partial: transfer?.partial ?? false,
        cause: error,
      })
    }
    throw error
  }
}

/** A download under way. Close its transfer. */
export class Download {
  readonly channel: DataChannelOptions
  readonly image: GlanceImage
  readonly options: GlanceDownloadOptions
  readonly transfer: Transfer
  readonly #watch: StallWatch
  readonly #size: number | undefined
  /** How often a broken connection was continued. */
  resumes = 0
  /** The MD5 that came with the data. */
  contentMd5: string | undefined
  /** Whether the store can start in the middle, as far as is known. */
  #ranges = true
  /** Whether the service ever answered with data. */
  #answered = false

  constructor(
    channel: DataChannelOptions,
    what: {
      readonly image: GlanceImage
      readonly sink: ByteSink
      readonly options: GlanceDownloadOptions
      readonly watch: StallWatch
      /** Those that are computed beside the ones that the options ask for. */
      readonly additionalHashes: readonly string[]
    },
  ) {
    const { image, sink, options, watch } = what
    this.channel = channel
    this.image = image
    this.options = options
    this.#watch = watch
    this.#size = sizeOf(image)
    const { checksums } = options
    const additionalHashes = [...(options.additionalHashes ?? []), ...what.additionalHashes]
    const onProgress: DownloadOptions['onProgress'] = (progress) =>
      options.onProgress?.({ ...progress, resumes: this.resumes })
    this.transfer = new Transfer(
      sink,
      { image, verify: options.verify, additionalHashes, checksums, onProgress },
      channel,
    )
  }

  async run(): Promise<TransferResult> {
    const { image, options, transfer } = this
    await this.#readAgain()
    const act = async (): Promise<TransferResult> => {
      await this.#fetchAll()
      this.#watch.pause()
      return transfer.finish()
    }
    return whileWatched(image.id, options, this.#watch, act, transfer)
  }

  /** The service's data are not the image's. */
  wrongData(reason: string): ImageDownloadFailedError {
    return new ImageDownloadFailedError({
      imageId: this.image.id,
      reason,
      partial: this.transfer.partial,
    })
  }

  /** Brings the hash up to what the caller has already. */
  async #readAgain(): Promise<void> {
    const { resumeFrom, signal } = this.options
    if (resumeFrom === undefined) return
    if (this.#size !== undefined && resumeFrom.bytes > this.#size) {
      throw this.wrongData(`the part to continue has ${resumeFrom.bytes} bytes, the image ${this.#size}.`)
    }
    this.#watch.pause()
    await readAgain(this.transfer, resumeFrom, signal)
    this.#watch.resume()
  }

  async #fetchAll(): Promise<void> {
    const { channel, image, options, transfer } = this
    const { context, connections = 1, preferStores } = options
    const size = this.#size
    if (size !== undefined && size > 0 && transfer.received === size) return
    if (connections > 1 && size !== undefined) {
      const { signal } = this.#watch
      const take = async (bytes: Uint8Array): Promise<void> => {
        this.#watch.progress(bytes.length)
        await transfer.push(bytes)
      }
      const from = transfer.received
      await fetchParallel(channel, { image, context, connections, preferStores, signal, from, size, take })
      if (transfer.received === size) return
    }
    await this.#fetchInTurn()
  }

  /** Requests what is missing until nothing is. */
  async #fetchInTurn(): Promise<void> {
    const { channel, image, transfer } = this
    for (let failures = 0; ;) {
      const before = transfer.received
      let failure: unknown
      try {
        if (this.resumes > 0 || failures > 0) await this.#checkSameImage()
        if (await this.#fetchRest()) return
      } catch (error) {
        failure = error
        if (!isWorthAnotherTry(error)) throw this.#failed(error)
      }
      const further = transfer.received > before
      failures = further ? 0 : failures + 1
      if (failures > channel.retries || this.resumes >= maximumResumes) throw this.#failed(failure)
      if (this.#answered) this.resumes += 1
      if (failure instanceof ConnectionBrokenError && !further) channel.api.nextEndpoint()
      const retryAfter = failure instanceof GlanceHttpError ? failure.retryAfterMs : undefined
      const waitMs = further ? 0 : channel.api.waitMs(failures - 1, retryAfter)
      const reason = failure ?? new Error('the store can’t start in the middle')
      const retry = retryText(reason, waitMs, failures, channel.retries)
      channel.logger.warn(`Resuming the download at byte ${transfer.received} ${retry}`, {
        imageId: image.id,
      })
      await delay(waitMs, this.#watch.signal)
    }
  }

  /** One request. @returns whether the image is complete */
  async #fetchRest(): Promise<boolean> {
    const { channel, image, options, transfer } = this
    const offset = transfer.received
    const asked = offset > 0 && this.#ranges
    const { head, error } = await sendData(channel, {
      method: 'GET',
      path: dataPath(image.id, options.preferStores),
      headers: {
        Accept: 'application/json, application/octet-stream;q=0.9',
        ...(asked ? { Range: `bytes=${offset}-` } : {}),
      },
      context: options.context,
      signal: this.#watch.signal,
      takeBody: (answer) => (this.#begins(answer, offset, asked) ? this.#taker(answer, offset) : undefined),
    })
    const { status } = head
    if (status === 204) throw this.wrongData('image contains no data.')
    if (status === 200 || (status === 206 && this.#ranges && asked)) {
      if (this.#size === undefined || transfer.received === this.#size) return true
      const reason = `the data ended after ${transfer.received} of ${this.#size} bytes`
      throw new ConnectionBrokenError('body', reason)
    }
    if (asked && (status === 206 || status === 400 || status === 416)) {
      // The store can't start in the middle, or answers something else: from the start, without what is there already.
      this.#ranges = false
      return false
    }
    if (error !== undefined) throw error
    const reason = `the service answered with the unexpected status ${status}`
    throw new ConnectionBrokenError('body', reason, { fatal: true })
  }

  /** Whether an answer has the data that were asked for. @throws {ImageDownloadFailedError} where they can't be the image's */
  #begins({ status, headers }: ResponseHead, offset: number, asked: boolean): boolean {
    const size = this.#size
    if (status === 206) {
      const end = size === undefined ? undefined : size - 1
      this.#ranges &&= asked && isRequestedRange(headers.get('content-range'), offset, end, size)
      if (!this.#ranges) return false
    } else if (status !== 200) {
      return false
    }
    this.#answered = true
    this.contentMd5 ??= headers.get('content-md5')
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
    const { transfer } = this
    const watch = this.#watch
    let skip = status === 200 ? offset : 0
    return {
      nextBuffer: () => transfer.nextBuffer(),
      take: (bytes) => {
        const part = skip === 0 ? bytes : bytes.subarray(Math.min(skip, bytes.length))
        skip -= bytes.length - part.length
        if (part.length === 0) return undefined
        const wait = transfer.push(part)
        watch.progress(part.length)
        if (wait === undefined) return undefined
        watch.pause()
        return wait.finally(() => watch.resume())
      },
    }
  }

  /** Between two connections an image may have been deleted; its data never changes otherwise. */
  async #checkSameImage(): Promise<void> {
    const { channel, image, options, transfer } = this
    if (transfer.received === 0) return
    const { signal } = this.#watch
    const now = await channel.show(image.id, { context: options.context, signal, retries: 0 })
    const names = ['size', 'os_hash_algo', 'os_hash_value', 'checksum'] as const
    const changed = names.find(
      (name) => (image[name] ?? undefined) !== undefined && now[name] !== image[name],
    )
    if (changed === undefined) return
    throw this.wrongData(`the image was replaced during the download: its ${changed} changed.`)
  }

  /** The error that the download ends with. */
  #failed(error: unknown): unknown {
    const { image, transfer } = this
    const translated = imageError(image.id, error)
    if (translated !== error) {
      const gone = translated instanceof ImageNotFoundError || translated instanceof ImageNotAuthorizedError
      if (gone || !transfer.partial) return translated
    }
    if (error instanceof GlanceHttpError && !transfer.partial && !isPassing(error.status)) return error
    const known = error instanceof ConnectionBrokenError || error instanceof GlanceHttpError
    if (known && !this.#answered) {
      return new GlanceConnectionFailedError({ reason: error.message, cause: error })
    }
    if (!known && !(error instanceof GlanceConnectionFailedError) && error !== undefined) return error
    return new ImageDownloadFailedError({
      imageId: image.id,
      reason: `${error === undefined ? 'the service could not continue it' : error.message}, after ${transfer.received} bytes.`,
      partial: transfer.partial,
      cause: error,
    })
  }
}

/** Whether the next connection may do better. */
function isWorthAnotherTry(error: unknown): boolean {
  if (error instanceof ConnectionBrokenError) return !error.fatal
  if (error instanceof GlanceConnectionFailedError) return true
  return error instanceof GlanceHttpError && isPassing(error.status)
}
