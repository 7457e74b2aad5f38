import { performance } from 'node:perf_hooks'
import { checkImageId, ImageDownloadFailedError } from '@disk-image/core'
import type { ByteSink, DownloadReport } from '@disk-image/core'
import { hasHash, readAgain, sizeOf, Transfer } from '@disk-image/io'
import { retryText } from '../api/api.ts'
import { GlanceHttpError } from '../errors.ts'
import type { BodyTaker } from '../transport/answer-body.ts'
import { ConnectionBrokenError } from '../transport/connection-error.ts'
import type { ResponseHead } from '../transport/http1.ts'
import { delay } from '../transport/timeouts.ts'
import { isRequestedRange } from './content-range.ts'
import { sendData } from './data-channel.ts'
import type { DataChannelOptions } from './data-channel.ts'
import { dataPath } from './data-path.ts'
import { failed, isWorthAnotherTry, noData } from './download-failure.ts'
import type { Download, GlanceDownloadOptions } from './download-state.ts'
import { announcedHash, compareLate } from './late-hash.ts'
import { fetchParallel } from './parallel-download.ts'
import { TransferLimitError, watchStall } from './stall-watch.ts'
import type { StallWatch } from './stall-watch.ts'

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
  const start = performance.now()
  using watch = watchStall(channel.timeouts, options.signal)
  const image =
    options.image ??
    (await whileWatched(imageId, options, watch, () => {
      channel.hashPool.warm()
      return channel.show(imageId, { context: options.context, signal: watch.signal })
    }))
  const late =
    hasHash(image) || (options.verify ?? 'fallback') !== 'fallback' ? undefined : announcedHash(image)
  const size = sizeOf(image)
  const state: Download = {
    channel,
    image,
    watch,
    options,
    size,
    ranges: true,
    resumes: 0,
    contentMd5: undefined,
    answered: false,
    transfer: new Transfer(
      sink,
      {
        image,
        verify: options.verify,
        additionalHashes: [
          ...(options.additionalHashes ?? []),
          ...(late === undefined ? [] : [late.nodeAlgorithm, 'md5']),
        ],
        onProgress: (progress) => options.onProgress?.({ ...progress, resumes: state.resumes }),
      },
      channel,
    ),
  }
  const { transfer } = state
  try {
    if (options.resumeFrom !== undefined) {
      if (size !== undefined && options.resumeFrom.bytes > size) {
        throw new ImageDownloadFailedError({
          imageId,
          reason: `the part to continue has ${options.resumeFrom.bytes} bytes, the image ${size}.`,
        })
      }
      watch.pause()
      await readAgain(transfer, options.resumeFrom, options.signal)
      watch.resume()
    }
    const result = await whileWatched(
      imageId,
      options,
      watch,
      async () => {
        await fetchAll(state)
        watch.pause()
        return transfer.finish()
      },
      transfer,
    )
    options.signal?.throwIfAborted()
    const verified = late === undefined ? result : await compareLate(state, result, late)
    return { ...verified, resumes: state.resumes, durationSeconds: (performance.now() - start) / 1000 }
  } finally {
    await transfer.close()
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

async function fetchAll(state: Download): Promise<void> {
  const { options, transfer, size, watch } = state
  if (size !== undefined && size > 0 && transfer.received === size) return
  if ((options.connections ?? 1) > 1 && size !== undefined) {
    await fetchParallel(state.channel, {
      image: state.image,
      context: options.context,
      connections: options.connections ?? 1,
      preferStores: options.preferStores,
      signal: watch.signal,
      from: transfer.received,
      size,
      take: async (bytes) => {
        watch.progress(bytes.length)
        await transfer.push(bytes)
      },
    })
    if (transfer.received === size) return
  }
  await fetchInTurn(state)
}

/** Requests what is missing until nothing is. */
async function fetchInTurn(state: Download): Promise<void> {
  const { channel, transfer, image, watch } = state
  for (let failures = 0; ;) {
    const before = transfer.received
    let failure: unknown
    try {
      if (state.resumes > 0 || failures > 0) await checkSameImage(state)
      if (await fetchRest(state)) return
    } catch (error) {
      failure = error
      if (!isWorthAnotherTry(error)) throw failed(state, error)
    }
    const further = transfer.received > before
    failures = further ? 0 : failures + 1
    if (failures > channel.retries || state.resumes >= maximumResumes) throw failed(state, failure)
    if (state.answered) state.resumes += 1
    if (failure instanceof ConnectionBrokenError && !further) channel.api.nextEndpoint()
    const retryAfter = failure instanceof GlanceHttpError ? failure.retryAfterMs : undefined
    const waitMs = further ? 0 : channel.api.waitMs(failures - 1, retryAfter)
    const reason = failure ?? new Error('the store can’t start in the middle')
    const retry = retryText(reason, waitMs, failures, channel.retries)
    channel.logger.warn(`Resuming the download at byte ${transfer.received} ${retry}`, { imageId: image.id })
    await delay(waitMs, watch.signal)
  }
}

/** One request. @returns whether the image is complete */
async function fetchRest(state: Download): Promise<boolean> {
  const { channel, image, options, transfer, size, watch } = state
  const offset = transfer.received
  const asked = offset > 0 && state.ranges
  const result = await sendData(channel, {
    method: 'GET',
    path: dataPath(image.id, options.preferStores),
    headers: {
      Accept: 'application/json, application/octet-stream;q=0.9',
      ...(asked ? { Range: `bytes=${offset}-` } : {}),
    },
    context: options.context,
    signal: watch.signal,
    takeBody: (head) => takerFor(state, head, offset, asked),
  })
  const { status } = result.head
  if (status === 204) throw noData(state, 'image contains no data.')
  if (status === 200 || (status === 206 && state.ranges && asked)) {
    if (size === undefined || transfer.received === size) return true
    throw new ConnectionBrokenError('body', `the data ended after ${transfer.received} of ${size} bytes`)
  }
  if (asked && (status === 206 || status === 400 || status === 416)) {
    // The store can't start in the middle, or answers something else: from the start, without what is there already.
    state.ranges = false
    return false
  }
  throw (
    result.error ??
    new ConnectionBrokenError('body', `the service answered with the unexpected status ${status}`, {
      fatal: true,
    })
  )
}

function takerFor(
  state: Download,
  head: ResponseHead,
  offset: number,
  asked: boolean,
): BodyTaker | undefined {
  const { transfer, size, watch } = state
  if (head.status === 206) {
    const range = head.headers.get('content-range')
    if (!asked || !isRequestedRange(range, offset, size === undefined ? undefined : size - 1, size)) {
      state.ranges = false
      return undefined
    }
  } else if (head.status !== 200) {
    return undefined
  }
  state.answered = true
  state.contentMd5 ??= head.headers.get('content-md5')
  const length = head.headers.get('content-length')
  if (head.status === 200 && size !== undefined && length !== undefined && Number(length) > size) {
    throw noData(state, `the service announced ${length} bytes, the image has ${size}.`)
  }
  if (size === undefined && length === undefined && !head.headers.has('state-encoding')) {
    throw noData(state, 'neither the image nor the answer says how long the data is.')
  }
  let skip = head.status === 200 ? offset : 0
  return {
    room: () => transfer.nextBuffer(),
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
async function checkSameImage({ channel, image, options, transfer, watch }: Download): Promise<void> {
  if (transfer.received === 0) return
  const now = await channel.show(image.id, { context: options.context, signal: watch.signal, retries: 0 })
  const names = ['size', 'os_hash_algo', 'os_hash_value', 'checksum'] as const
  const changed = names.find(
    (name) => image[name] !== null && image[name] !== undefined && now[name] !== image[name],
  )
  if (changed !== undefined) {
    throw new ImageDownloadFailedError({
      imageId: image.id,
      reason: `the image was replaced during the download: its ${changed} changed.`,
      partial: transfer.partial,
    })
  }
}
