import type { CallOptions, RequestContext, UploadSource, VerifyPolicy } from '@disk-image/core'
import { delay } from '@disk-image/http'
import type { StallWatch } from '@disk-image/http'
import { HashStream, toNodeHashName } from '@disk-image/io'
import type { GlanceImage } from '../api/answers.ts'
import { GlanceConnectionFailedError, ImageUploadFailedError } from '../errors.ts'
import type { DataChannelOptions } from './data-channel.ts'

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
export interface Upload {
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
export async function settledState(upload: Upload, failure: unknown): Promise<GlanceImage> {
  const { channel, imageId, options, watch } = upload
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
  upload: Upload,
  image: GlanceImage,
  sent: Sent,
  reason: string,
  cause: unknown,
): Promise<ImageUploadFailedError> {
  const { channel, imageId, options } = upload
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

/** What was sent in one try. */
export interface Sent {
  /** Bytes taken from the source. */
  readonly bytes: number
  /** Hex digests of the whole data, by the names of the record; empty where the source did not end. */
  readonly digests: ReadonlyMap<string, string>
  /** Whether the source ended. */
  readonly whole: boolean
}

/** What is needed to read an upload's data again. */
interface RereadableUpload {
  readonly source: UploadSource
  readonly options: CallOptions
  readonly watch: Pick<StallWatch, 'progress'>
}

/** Where the service turns out to compute another hash than was expected, the source is read again for it. */
export async function withHashOf(upload: RereadableUpload, sent: Sent, image: GlanceImage): Promise<Sent> {
  const { os_hash_algo: algorithm, os_hash_value: value } = image
  if (typeof algorithm !== 'string' || typeof value !== 'string' || sent.digests.has(algorithm)) return sent
  const nodeName = toNodeHashName(algorithm)
  if (nodeName === undefined) return sent
  let source: AsyncIterable<Uint8Array>
  try {
    source = upload.source.open()
  } catch {
    // It can be read only once: then size and state are all that there is to compare.
    return sent
  }
  await using hash = new HashStream([nodeName])
  for await (const portion of source) {
    upload.watch.progress()
    upload.options.signal?.throwIfAborted()
    await hash.write(portion)
  }
  const [digest = ''] = await hash.finish()
  return { ...sent, digests: new Map([...sent.digests, [algorithm, digest]]) }
}

/** The hash that was computed and that the image has too, compared. */
export function hashOf(
  { digests }: Sent,
  image: GlanceImage | undefined,
): { algorithm: string; value: string; verified: boolean; expected?: string } | undefined {
  for (const [algorithm, value] of digests) {
    const expected = algorithm === image?.os_hash_algo ? image.os_hash_value : undefined
    if (typeof expected === 'string')
      return { algorithm, value, verified: expected.toLowerCase() === value, expected }
  }
  const [first] = digests
  return first === undefined ? undefined : { algorithm: first[0], value: first[1], verified: false }
}
