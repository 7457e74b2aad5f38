import { performance } from 'node:perf_hooks'
import { checkImageId, ImageDownloadFailedError } from '@disk-image/core'
import type { ByteSink, DownloadReport } from '@disk-image/core'
import { createVerifiedPipe, hasHash, readAgain, sizeOf } from '@disk-image/io'
import type { VerifiedPipe } from '@disk-image/io'
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

/** A transfer that was cut this often is given up, however far it came each time. */
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
      channel.threads.warm()
      return channel.show(imageId, { context: options.context, signal: watch.signal })
    }))
  const late =
    hasHash(image) || (options.verify ?? 'fallback') !== 'fallback' ? undefined : announcedHash(image)
  const size = sizeOf(image)
  const transfer: Download = {
    channel,
    image,
    watch,
    options,
    size,
    ranges: true,
    resumes: 0,
    contentMd5: undefined,
    answered: false,
    pipe: createVerifiedPipe(
      sink,
      {
        image,
        verify: options.verify,
        additionalHashes: [
          ...(options.additionalHashes ?? []),
          ...(late === undefined ? [] : [late.nodeAlgorithm, 'md5']),
        ],
        onProgress: (progress) => options.onProgress?.({ ...progress, resumes: transfer.resumes }),
      },
      channel,
    ),
  }
  const { pipe } = transfer
  try {
    if (options.resumeFrom !== undefined) {
      if (size !== undefined && options.resumeFrom.bytes > size) {
        throw new ImageDownloadFailedError({
          imageId,
          reason: `the part to continue has ${options.resumeFrom.bytes} bytes, the image ${size}.`,
        })
      }
      watch.pause()
      await readAgain(pipe, options.resumeFrom, options.signal)
      watch.resume()
    }
    const result = await whileWatched(
      imageId,
      options,
      watch,
      async () => {
        await fetchAll(transfer)
        watch.pause()
        return pipe.finish()
      },
      pipe,
    )
    options.signal?.throwIfAborted()
    const verified = late === undefined ? result : await compareLate(transfer, result, late)
    return { ...verified, resumes: transfer.resumes, durationSeconds: (performance.now() - start) / 1000 }
  } finally {
    await pipe.close()
  }
}

/** Runs a part of the download; an end by its own limits becomes the download's error. */
async function whileWatched<T>(
  imageId: string,
  options: GlanceDownloadOptions,
  watch: StallWatch,
  act: () => Promise<T>,
  pipe?: VerifiedPipe,
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
        partial: pipe?.partial ?? false,
        cause: error,
      })
    }
    throw error
  }
}

async function fetchAll(transfer: Download): Promise<void> {
  const { options, pipe, size, watch } = transfer
  if (size !== undefined && size > 0 && pipe.received === size) return
  if ((options.connections ?? 1) > 1 && size !== undefined) {
    await fetchParallel(transfer.channel, {
      image: transfer.image,
      context: options.context,
      connections: options.connections ?? 1,
      preferStores: options.preferStores,
      signal: watch.signal,
      from: pipe.received,
      size,
      take: async (bytes) => {
        watch.progress(bytes.length)
        await pipe.push(bytes)
      },
    })
    if (pipe.received === size) return
  }
  await fetchInTurn(transfer)
}

/** Requests what is missing until nothing is. */
async function fetchInTurn(transfer: Download): Promise<void> {
  const { channel, pipe, image, watch } = transfer
  for (let failures = 0; ;) {
    const before = pipe.received
    let failure: unknown
    try {
      if (transfer.resumes > 0 || failures > 0) await checkSameImage(transfer)
      if (await fetchRest(transfer)) return
    } catch (error) {
      failure = error
      if (!isWorthAnotherTry(error)) throw failed(transfer, error)
    }
    const further = pipe.received > before
    failures = further ? 0 : failures + 1
    if (failures > channel.retries || transfer.resumes >= maximumResumes) throw failed(transfer, failure)
    if (transfer.answered) transfer.resumes += 1
    if (failure instanceof ConnectionBrokenError && !further) channel.api.nextEndpoint()
    const retryAfter = failure instanceof GlanceHttpError ? failure.retryAfterMs : undefined
    const waitMs = further ? 0 : channel.api.waitMs(failures - 1, retryAfter)
    const reason = failure ?? new Error('the store can’t start in the middle')
    const retry = retryText(reason, waitMs, failures, channel.retries)
    channel.logger.warn(`Resuming the download at byte ${pipe.received} ${retry}`, { imageId: image.id })
    await delay(waitMs, watch.signal)
  }
}

/** One request. @returns whether the image is complete */
async function fetchRest(transfer: Download): Promise<boolean> {
  const { channel, image, options, pipe, size, watch } = transfer
  const offset = pipe.received
  const asked = offset > 0 && transfer.ranges
  const result = await sendData(channel, {
    method: 'GET',
    path: dataPath(image.id, options.preferStores),
    headers: {
      Accept: 'application/json, application/octet-stream;q=0.9',
      ...(asked ? { Range: `bytes=${offset}-` } : {}),
    },
    context: options.context,
    signal: watch.signal,
    takeBody: (head) => takerFor(transfer, head, offset, asked),
  })
  const { status } = result.head
  if (status === 204) throw noData(transfer, 'image contains no data.')
  if (status === 200 || (status === 206 && transfer.ranges && asked)) {
    if (size === undefined || pipe.received === size) return true
    throw new ConnectionBrokenError('body', `the data ended after ${pipe.received} of ${size} bytes`)
  }
  if (asked && (status === 206 || status === 400 || status === 416)) {
    // The store can't start in the middle, or answers something else: from the start, without what is there already.
    transfer.ranges = false
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
  transfer: Download,
  head: ResponseHead,
  offset: number,
  asked: boolean,
): BodyTaker | undefined {
  const { pipe, size, watch } = transfer
  if (head.status === 206) {
    const range = head.headers.get('content-range')
    if (!asked || !isRequestedRange(range, offset, size === undefined ? undefined : size - 1, size)) {
      transfer.ranges = false
      return undefined
    }
  } else if (head.status !== 200) {
    return undefined
  }
  transfer.answered = true
  transfer.contentMd5 ??= head.headers.get('content-md5')
  const length = head.headers.get('content-length')
  if (head.status === 200 && size !== undefined && length !== undefined && Number(length) > size) {
    throw noData(transfer, `the service announced ${length} bytes, the image has ${size}.`)
  }
  if (size === undefined && length === undefined && !head.headers.has('transfer-encoding')) {
    throw noData(transfer, 'neither the image nor the answer says how long the data is.')
  }
  let skip = head.status === 200 ? offset : 0
  return {
    room: () => pipe.room(),
    take: (bytes) => {
      const part = skip === 0 ? bytes : bytes.subarray(Math.min(skip, bytes.length))
      skip -= bytes.length - part.length
      if (part.length === 0) return undefined
      const wait = pipe.push(part)
      watch.progress(part.length)
      if (wait === undefined) return undefined
      watch.pause()
      return wait.finally(() => watch.resume())
    },
  }
}

/** Between two connections an image may have been deleted; its data never changes otherwise. */
async function checkSameImage({ channel, image, options, pipe, watch }: Download): Promise<void> {
  if (pipe.received === 0) return
  const now = await channel.show(image.id, { context: options.context, signal: watch.signal, retries: 0 })
  const names = ['size', 'os_hash_algo', 'os_hash_value', 'checksum'] as const
  const changed = names.find(
    (name) => image[name] !== null && image[name] !== undefined && now[name] !== image[name],
  )
  if (changed !== undefined) {
    throw new ImageDownloadFailedError({
      imageId: image.id,
      reason: `the image was replaced during the download: its ${changed} changed.`,
      partial: pipe.partial,
    })
  }
}
