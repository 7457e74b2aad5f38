import { performance } from 'node:perf_hooks'
import { checkImageId, ImageDownloadFailedError } from '@disk-image/core'
import type { ByteSink, DownloadOptions, DownloadReport, RequestContext } from '@disk-image/core'
import { Download, ReplacedError, watchStall, whileWatched } from '@disk-image/http'
import type { DownloadOrigin } from '@disk-image/http'
import { hasHash, planHash, toNodeHashName } from '@disk-image/io'
import type { HashPlan, TransferResult } from '@disk-image/io'
import type { GlanceImage } from '../api/answers.ts'
import { dataOrigin } from './data-channel.ts'
import type { DataChannelOptions } from './data-channel.ts'

/** Options of a download from Glance. */
export interface GlanceDownloadOptions extends DownloadOptions {
  readonly context?: RequestContext | undefined
  /** The image's record, where the caller has just read it: then it is not read again before the data. */
  readonly image?: GlanceImage | undefined
}

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
    (await whileWatched(imageId, options.signal, watch, () => {
      channel.hashPool.warm()
      return channel.show(imageId, { context: options.context, signal: watch.signal })
    }))
  const late =
    hasHash(image) || (options.verify ?? 'fallback') !== 'fallback' ? undefined : announcedHash(image)
  const asked = options.additionalHashes ?? []
  const additionalHashes = late === undefined ? asked : [...asked, late.nodeAlgorithm, 'md5']
  const origin = imageOrigin(channel, image, options)
  await using running = new Download(origin, sink, { ...options, additionalHashes, watch }, channel)
  const result = await running.run()
  options.signal?.throwIfAborted()
  const verified =
    late === undefined
      ? result
      : await compareLate({ channel, image, options, origin, running }, result, late)
  return { ...verified, resumes: running.resumes, durationSeconds: (performance.now() - beganMs) / 1000 }
}

/** The data of one image, which never change but by its end, and the MD5 that came with them. */
type ImageOrigin = DownloadOrigin & { readonly contentMd5: string | undefined }

function imageOrigin(
  channel: DataChannelOptions,
  image: GlanceImage,
  options: GlanceDownloadOptions,
): ImageOrigin {
  const origin = dataOrigin(channel, image, options)
  let contentMd5: string | undefined
  return {
    ...origin,
    get contentMd5() {
      return contentMd5
    },
    fetch: (request) =>
      origin.fetch({
        ...request,
        takeBody: (head) => {
          const taker = request.takeBody(head)
          if (taker !== undefined) contentMd5 ??= head.headers.get('content-md5')
          return taker
        },
      }),
    checkSame: async (signal) => {
      const now = await channel.show(image.id, { context: options.context, signal, retries: 0 })
      const names = ['size', 'os_hash_algo', 'os_hash_value', 'checksum'] as const
      const changed = names.find(
        (name) => (image[name] ?? undefined) !== undefined && now[name] !== image[name],
      )
      if (changed === undefined) return
      throw new ReplacedError(`its ${changed} changed`)
    },
  }
}

/** The hash that is computed over an image whose record has none yet. */
interface AnnouncedHash {
  readonly algorithm: string
  readonly nodeAlgorithm: string
}

/** Which hash an image without one will probably get: a service names it before it has computed the value. */
function announcedHash({ os_hash_algo: named }: GlanceImage): AnnouncedHash {
  const nodeAlgorithm = typeof named === 'string' ? toNodeHashName(named) : undefined
  return typeof named === 'string' && nodeAlgorithm !== undefined
    ? { algorithm: named, nodeAlgorithm }
    : { algorithm: 'sha512', nodeAlgorithm: 'sha512' }
}

/** A download that has come to its end. */
interface Finished {
  readonly channel: DataChannelOptions
  readonly image: GlanceImage
  readonly options: GlanceDownloadOptions
  readonly origin: ImageOrigin
  readonly running: Download
}

/**
 * Images that were registered by location get their hash later; then what was computed is compared after all. Where
 * they don't, there may be an MD5 that came with the data.
 *
 * @throws {ImageDownloadFailedError} where it is another
 */
async function compareLate(
  finished: Finished,
  result: TransferResult,
  late: AnnouncedHash,
): Promise<TransferResult> {
  const { channel, image, options, running } = finished
  const now = await channel.show(image.id, { context: options.context, signal: options.signal })
  const plan = planAgain(finished, now, late)
  const { algorithm, nodeAlgorithm } = plan ?? late
  const value = result.additionalHashes[nodeAlgorithm] ?? ''
  if (plan !== undefined && plan.expected !== value) {
    throw running.wrongData(
      `the ${algorithm} hash of the data is ${value}, the image's record says ${plan.expected}.`,
    )
  }
  const asked = options.additionalHashes ?? []
  return {
    bytes: result.bytes,
    hash:
      plan === undefined && result.hash?.verified === true
        ? result.hash
        : { algorithm, value, verified: plan !== undefined },
    verified: [...(plan === undefined ? [] : [{ algorithm, value }]), ...result.verified],
    additionalHashes: Object.fromEntries(asked.map((name) => [name, result.additionalHashes[name] ?? ''])),
  }
}

/** By what the data can be compared now, of that which was computed. */
function planAgain(
  { image, origin, running }: Finished,
  now: GlanceImage,
  late: AnnouncedHash,
): HashPlan | undefined {
  const { contentMd5 } = origin
  try {
    const plan = planHash(now, 'fallback')
    if (plan !== undefined && [late.algorithm, 'md5'].includes(plan.algorithm)) return plan
    if (contentMd5 === undefined) return undefined
    // Glance writes it in hex, others as RFC 1864 has it.
    const hex = /^[\w+/]{22}==$/.test(contentMd5)
      ? Buffer.from(contentMd5, 'base64').toString('hex')
      : contentMd5
    return planHash({ id: image.id, checksum: hex }, 'fallback')
  } catch (error) {
    throw error instanceof ImageDownloadFailedError ? running.wrongData(error.reason) : error
  }
}
