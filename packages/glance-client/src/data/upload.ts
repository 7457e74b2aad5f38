import type { UploadSource } from '@disk-image/core'
import {
  ConnectionBrokenError,
  delay,
  isPassing,
  retryText,
  SourceSizeError,
  TransferLimitError,
  watchStall,
} from '@disk-image/http'
import { HashStream, toNodeHashName } from '@disk-image/io'
import { imageError } from '../api/answer-errors.ts'
import {
  GlanceHttpError,
  GlanceStoreNotFoundError,
  GlanceStoreReadOnlyError,
  ImageUploadFailedError,
} from '../errors.ts'
import { sendData } from './data-channel.ts'
import type { DataChannelOptions } from './data-channel.ts'
import { hashOf, settledState, withHashOf, wrong } from './upload-state.ts'
import type { GlanceUploadOptions, Sent, Upload } from './upload-state.ts'

export type { GlanceUploadOptions } from './upload-state.ts'

/** The report of an upload. It is only returned when the service has what was sent. */
export interface UploadReport {
  readonly bytes: number
  /** How often the data was sent again from the start. */
  readonly retries: number
  /** The hash computed while sending; verified: the service computed the same. */
  readonly hash:
    | { readonly algorithm: string; readonly value: string; readonly verified: boolean }
    | undefined
}

/** Sends an image's data, and makes sure that the service has exactly it. */
export async function upload(
  channel: DataChannelOptions,
  imageId: string,
  source: UploadSource,
  options: GlanceUploadOptions,
  hashAlgorithm: string | undefined,
): Promise<UploadReport> {
  options.signal?.throwIfAborted()
  using watch = watchStall(channel.timeouts, options.signal)
  // As long as it is not known what the service computes, its default is the best guess. A second hash at the
  // same time would cost as much as the whole transfer; a wrong guess is made good afterwards.
  const state: Upload = {
    channel,
    imageId,
    source,
    options,
    watch,
    hashAlgorithm: hashAlgorithm ?? 'sha512',
    retries: 0,
    expectsContinue: true,
    renewals: 0,
  }
  try {
    return await uploadInTries(state)
  } catch (error) {
    options.signal?.throwIfAborted()
    const reason: unknown = watch.signal.reason
    if (watch.signal.aborted && error === reason && reason instanceof TransferLimitError) {
      throw new ImageUploadFailedError({ imageId, reason: reason.message, state: 'unknown', cause: error })
    }
    throw error
  }
}

async function uploadInTries(state: Upload): Promise<UploadReport> {
  const { channel, imageId, watch } = state
  let started = false
  for (let attempt = 0; ; attempt += 1) {
    const { sent, failure, renewed } = await sendOnce(state)
    started ||= sent.bytes > 0
    if (failure === undefined) return confirm(state, sent)
    if (takesAnotherWay(state, failure, renewed)) {
      attempt -= 1
      if (sent.bytes > 0) state.retries += 1
      continue
    }
    if (failure instanceof GlanceHttpError && !isDoubtful(failure, attempt)) throw refused(state, failure)
    // Nobody knows what the service made of it: it is asked, and only an image without data gets it again.
    const image = await settledState(state, failure)
    if (image.status === 'active' && started) {
      if (sent.whole && image.size === sent.bytes) return confirm(state, sent)
      throw await wrong(
        state,
        image,
        sent,
        'the connection broke, and the image is active with other data.',
        failure,
      )
    }
    const again = isRetryable(failure) && image.status === 'queued' && attempt < channel.retries
    if (!again) throw givenUp(state, image.status, failure)
    state.retries += 1
    const waitMs = channel.api.waitMs(
      attempt,
      failure instanceof GlanceHttpError ? failure.retryAfterMs : undefined,
    )
    const retry = retryText(failure, waitMs, attempt + 1, channel.retries)
    channel.logger.warn(`Retrying the upload from its start ${retry}`, { imageId })
    await delay(waitMs, watch.signal)
  }
}

/** What was refused was not the data, but how it came: then it is sent otherwise, once. */
function takesAnotherWay(state: Upload, failure: Try['failure'], renewed: boolean): boolean {
  if (!(failure instanceof GlanceHttpError)) return false
  if (failure.status === 417 && state.expectsContinue) {
    state.expectsContinue = false
    return true
  }
  if (failure.status !== 401 || !renewed || state.renewals > 0) return false
  state.renewals += 1
  return true
}

interface Try {
  readonly sent: Sent
  /** What the service answered, or how the connection or the source failed. */
  readonly failure: GlanceHttpError | ConnectionBrokenError | SourceSizeError | undefined
  readonly renewed: boolean
}

/** Sends the data once. @throws what the source throws, as it is */
async function sendOnce(state: Upload): Promise<Try> {
  const { channel, imageId, source, options, watch } = state
  const nodeName = toNodeHashName(state.hashAlgorithm) ?? 'sha512'
  const hashes = options.verify === 'none' ? [] : [nodeName]
  const inThread = source.size === undefined || source.size >= 4 * 1024 * 1024
  await using hash = new HashStream(hashes, { inThread, hashPool: channel.hashPool })
  let bytes = 0
  let whole = source.size === 0
  let failure: Try['failure']
  let renewed = false
  try {
    const result = await sendData(channel, {
      method: 'PUT',
      path: `/v2/images/${encodeURIComponent(imageId)}/${options.target ?? 'file'}`,
      headers: headersOf(state),
      context: options.context,
      signal: watch.signal,
      body: {
        size: source.size,
        expectsContinue: state.expectsContinue,
        open: () =>
          // What the source throws at its second opening says best why the upload can't be retried.
          untilEnd(source.open(), () => {
            whole = source.size === undefined || bytes === source.size
          }),
        onPortion: (portion) => {
          bytes += portion.length
          watch.progress()
          options.onProgress?.({
            stage: 'upload',
            completed: bytes,
            total: source.size,
            unit: 'bytes',
            resumes: state.retries,
          })
          return hash.write(portion)
        },
      },
      takeBody: () => undefined,
    })
    failure = result.error
    renewed = result.renewed
    if (failure === undefined && !result.bodySent) {
      failure = new ConnectionBrokenError('upload', 'the service answered before it had all of the data')
    }
  } catch (error) {
    if (!(error instanceof ConnectionBrokenError) && !(error instanceof SourceSizeError)) throw error
    failure = error
  }
  const digests = new Map<string, string>()
  if (whole && hashes.length > 0) {
    const [digest = ''] = await hash.finish()
    digests.set(state.hashAlgorithm, digest)
  }
  return { sent: { bytes, digests, whole }, failure, renewed }
}

function headersOf({ source, options }: Upload): Record<string, string> {
  const { storeId, baseImageRef } = options
  return {
    Accept: 'application/json',
    'Content-Type': 'application/octet-stream',
    ...(storeId === undefined ? {} : { 'X-Image-Meta-Store': storeId }),
    ...(baseImageRef === undefined ? {} : { 'x-openstack-base-image-ref': baseImageRef }),
    ...(source.size === undefined ? {} : { 'x-openstack-image-size': String(source.size) }),
  }
}

async function* untilEnd(source: AsyncIterable<Uint8Array>, onEnd: () => void): AsyncGenerator<Uint8Array> {
  yield* source
  onEnd()
}

function isRetryable(failure: Try['failure']): boolean {
  if (failure instanceof SourceSizeError) return false
  return !(failure instanceof ConnectionBrokenError && failure.fatal)
}

/** Compares the image with what was sent. */
async function confirm(state: Upload, sent: Sent): Promise<UploadReport> {
  const { imageId, options } = state
  const report = { bytes: sent.bytes, retries: state.retries }
  if (options.target === 'stage') {
    return { ...report, hash: hashOf(sent, undefined) }
  }
  const image = await settledState(state, undefined)
  if (image.status !== 'active' && image.status !== 'importing') {
    throw new ImageUploadFailedError({
      imageId,
      reason: `the service took the data, but the image is ${image.status}.`,
      state: image.status === 'queued' ? 'queued' : 'unknown',
    })
  }
  if (typeof image.size === 'number' && image.size !== sent.bytes) {
    throw await wrong(
      state,
      image,
      sent,
      `${sent.bytes} bytes were sent, the image has ${image.size}.`,
      undefined,
    )
  }
  if (options.verify === 'none') return { ...report, hash: undefined }
  const hash = hashOf(await withHashOf(state, sent, image), image)
  if (options.verify === 'strict' && hash?.verified !== true && hash?.expected === undefined) {
    const reason = 'the service has the data, but says no hash that could be compared.'
    throw new ImageUploadFailedError({ imageId, reason, state: 'unknown' })
  }
  if (hash?.verified === false && hash.expected !== undefined) {
    const reason = `the image's ${hash.algorithm} hash is not that of the data sent.`
    throw await wrong(state, image, sent, reason, undefined)
  }
  if (hash === undefined) return { ...report, hash }
  const { algorithm, value, verified } = hash
  return { ...report, hash: { algorithm, value, verified } }
}

/** Errors after which the image's state has to be looked at. */
function isDoubtful({ status }: GlanceHttpError, attempt: number): boolean {
  // A conflict with a try before this one, which may still be stored; the first has no other to conflict with.
  if (status === 409) return attempt > 0
  return isPassing(status) || status === 500
}

function refused({ imageId, options }: Upload, error: GlanceHttpError): unknown {
  if (error.status === 410 && options.storeId !== undefined && /store/i.test(error.detail)) {
    return new GlanceStoreReadOnlyError({ storeId: options.storeId, cause: error })
  }
  if (error.status === 400 && options.storeId !== undefined && /store for identifier/i.test(error.detail)) {
    return new GlanceStoreNotFoundError({ storeId: options.storeId, cause: error })
  }
  return imageError(imageId, error)
}

function givenUp({ imageId }: Upload, status: string, failure: unknown): unknown {
  if (failure instanceof GlanceHttpError && failure.status === 409 && status !== 'queued') {
    return failure
  }
  const reason = failure instanceof Error ? failure.message : 'the connection broke'
  return new ImageUploadFailedError({
    imageId,
    reason: `${reason}; the image is ${status}.`,
    state: status === 'queued' ? 'queued' : 'unknown',
    cause: failure,
  })
}
