import type { CallOptions, RequestContext, UploadSource, VerifyPolicy } from '@disk-image/core'
import type { GlanceImage } from '../api/answers.ts'
import { GlanceConnectionFailedError, ImageUploadFailedError } from '../errors.ts'
import { delay } from '../transport/timeouts.ts'
import type { DataChannelOptions } from './data-channel.ts'
import type { StallWatch } from './stall-watch.ts'
import type { Sent } from './upload-hash.ts'

/** Options of an upload to Glance. */
export interface GlanceUploadOptions extends CallOptions {
  readonly context?: RequestContext | undefined
  /** The store that shall take the data. */
  readonly storeId?: string | undefined
  /** The image that this one was made from. */
  readonly baseImageRef?: string | undefined
  /** What to do with an image that is active with other bytes than were sent. @default 'delete' */
  readonly whenWrong?: 'delete' | 'keep' | undefined
  /** `stage` puts the data where an import with `glance-direct` finds it. @default 'file' */
  readonly target?: 'file' | 'stage' | undefined
  /** `strict`: the service must say a hash; `none`: nothing is hashed, only the size is compared. @default 'fallback' */
  readonly verify?: VerifyPolicy | undefined
}

/** An upload under way. */
export interface Job {
  readonly channel: DataChannelOptions
  readonly imageId: string
  readonly source: UploadSource
  readonly options: GlanceUploadOptions
  readonly watch: StallWatch
  /** Python's name of the hash that the service is expected to compute. */
  readonly hashAlgorithm: string
  retries: number
  /** Whether the service is asked before the data are sent; some proxies and old servers refuse the question. */
  expectsContinue: boolean
  /** How often a token that had ended was noticed only when the data were on their way. */
  renewals: number
}

/** The image's record, once the service has done with it: not while it is still saving. */
export async function settledState(job: Job, failure: unknown): Promise<GlanceImage> {
  const { channel, imageId, options, watch } = job
  const until = performance.now() + channel.timeouts.stallTimeoutMs
  for (let waitMs = 100; ; waitMs = Math.min(2000, waitMs * 1.5)) {
    let image: GlanceImage
    try {
      image = await channel.show(imageId, { context: options.context, signal: watch.signal, retries: 1 })
    } catch (error) {
      if (!(error instanceof GlanceConnectionFailedError)) throw error
      throw new ImageUploadFailedError({
        imageId,
        reason: `${failure instanceof Error ? failure.message : 'the connection broke'}, and the service could not be asked what it has.`,
        state: 'unknown',
        cause: failure ?? error,
      })
    }
    if (image.status !== 'saving' || performance.now() > until) return image
    watch.progress()
    await delay(waitMs, watch.signal)
  }
}

/** The image is active with other bytes than it should have. */
export async function wrong(
  job: Job,
  image: GlanceImage,
  sent: Sent,
  reason: string,
  cause: unknown,
): Promise<ImageUploadFailedError> {
  const { channel, imageId, options } = job
  let state: ImageUploadFailedError['state'] = 'wrong'
  // More data than was sent came from somebody else: that is not ours to delete.
  const ours = image.status === 'active' && typeof image.size === 'number' && image.size <= sent.bytes
  if (ours && options.whenWrong !== 'keep') {
    try {
      await channel.api.call({
        method: 'DELETE',
        path: `/v2/images/${encodeURIComponent(imageId)}`,
        context: options.context,
      })
      state = 'deleted'
    } catch (error) {
      channel.logger.error('An image with wrong data could not be deleted', { imageId, error })
    }
  }
  return new ImageUploadFailedError({ imageId, reason, state, cause })
}
