import type { CallOptions, UploadSource } from '@disk-image/core'
import { HashStream, toNodeHashName } from '@disk-image/io'
import type { GlanceImage } from '../api/answers.ts'
import type { StallWatch } from './stall-watch.ts'

/** What was sent in one try. */
export interface Sent {
  /** Bytes taken from the source. */
  readonly bytes: number
  /** Hex digests of the whole data, by Python's names; empty where it did not come to its end. */
  readonly digests: ReadonlyMap<string, string>
  /** Whether the source came to its end. */
  readonly whole: boolean
}

/** What is needed to read an upload's data again. */
interface RereadableUpload {
  readonly source: UploadSource
  readonly options: CallOptions
  readonly watch: Pick<StallWatch, 'progress'>
}

/** Where the service turns out to compute another hash than was expected, the source is read again for it. */
export async function withHashOf(job: RereadableUpload, sent: Sent, image: GlanceImage): Promise<Sent> {
  const { os_hash_algo: algorithm, os_hash_value: value } = image
  if (typeof algorithm !== 'string' || typeof value !== 'string' || sent.digests.has(algorithm)) return sent
  const nodeName = toNodeHashName(algorithm)
  if (nodeName === undefined) return sent
  let source: AsyncIterable<Uint8Array>
  try {
    source = job.source.open()
  } catch {
    // It can be read only once: then size and state are all that there is to compare.
    return sent
  }
  await using hash = new HashStream([nodeName])
  for await (const portion of source) {
    job.watch.progress()
    job.options.signal?.throwIfAborted()
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
