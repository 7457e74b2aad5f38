import { ImageDownloadFailedError } from '@disk-image/core'
import { planHash, toNodeHashName } from '@disk-image/io'
import type { HashPlan, TransferResult } from '@disk-image/io'
import type { GlanceImage } from '../api/answers.ts'
import type { Download } from './download.ts'

/** The hash that is computed over an image whose record has none yet. */
interface AnnouncedHash {
  readonly algorithm: string
  readonly nodeAlgorithm: string
}

/** Which hash an image without one will probably get: a service names it before it has computed the value. */
export function announcedHash({ os_hash_algo: named }: GlanceImage): AnnouncedHash {
  const nodeAlgorithm = typeof named === 'string' ? toNodeHashName(named) : undefined
  return typeof named === 'string' && nodeAlgorithm !== undefined
    ? { algorithm: named, nodeAlgorithm }
    : { algorithm: 'sha512', nodeAlgorithm: 'sha512' }
}

/**
 * Images that were registered by location get their hash later; then what was computed is compared after all. Where
 * they don't, there may be an MD5 that came with the data.
 *
 * @throws {ImageDownloadFailedError} where it is another
 */
export async function compareLate(
  state: Download,
  result: TransferResult,
  late: AnnouncedHash,
): Promise<TransferResult> {
  const { channel, image, options } = state
  const now = await channel.show(image.id, { context: options.context, signal: options.signal })
  const plan = planAgain(state, now, late)
  const { algorithm, nodeAlgorithm } = plan ?? late
  const value = result.additionalHashes[nodeAlgorithm] ?? ''
  if (plan !== undefined && plan.expected !== value) {
    throw state.wrongData(
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
function planAgain(state: Download, now: GlanceImage, late: AnnouncedHash): HashPlan | undefined {
  const { image, contentMd5 } = state
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
    throw error instanceof ImageDownloadFailedError ? state.wrongData(error.reason) : error
  }
}
