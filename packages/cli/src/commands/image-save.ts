import { RateLimiter, SparseSink } from '@disk-image/io'
import { exactBytes, formatSeconds } from '../output/units.ts'
import type { GlobalFlags, Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'
import { openDestination } from './file-source.ts'
import { lookUpChecksums, openWord, readManner, type SourceFlags } from './open-word.ts'
import { confirmOverwrite } from './overwrite.ts'
import { operand } from './values.ts'

/** `disk-image image save`: the stored bytes, whatever they are. */
export async function saveImage(
  session: Session,
  given: SourceFlags & GlobalFlags,
  operands: readonly string[],
): Promise<void> {
  const word = operand(operands, 0)
  const flags = await lookUpChecksums(session, given, word)
  const { checksums, throttle } = readManner(flags)
  const imageUtils = await session.imageUtils()
  await using source = await openWord(session, imageUtils, word, { bare: 'image' })
  const { stored, record } = source
  const { volume, target } = openDestination(session, operand(operands, 1))
  if (target === undefined) await confirmOverwrite(session, [volume])
  const { openVolume } = await import('@disk-image/host')
  const { signal } = session.io
  const sizeBytes = record?.size ?? stored.sizeBytes
  await using file =
    target ?? (await openVolume(volume, { imageId: record?.id ?? source.name, sizeBytes, signal }))
  if ('kind' in file && file.kind !== 'file') {
    throw new UsageError(`${volume} is a block device: a disk goes there with disk-image fetch.`)
  }
  const startedMs = performance.now()
  const rateLimiter = throttle && new RateLimiter(throttle.rateBytesPerSecond, signal)
  const sink = new SparseSink(file, { sparse: target === undefined, rateLimiter })
  const inOrder = { write: (chunk: Uint8Array) => sink.write(chunk) }
  const { bytes, hash, verified } = await stored.download(inOrder, { ...session.call, checksums })
  await file.commit(bytes)
  const durationSeconds = (performance.now() - startedMs) / 1000
  const imageId = record?.id ?? source.name
  const names = hash?.verified === true ? [hash.algorithm] : verified.map(({ algorithm }) => algorithm)
  const compared = names.length === 0 ? 'unverified: nothing to compare with' : `${names.join(', ')} verified`
  session.answer({ imageId, file: volume, sizeBytes: bytes, hash: hash ?? null, verified, durationSeconds }, [
    `${volume}: ${exactBytes(bytes)} of ${imageId}, ${compared}, in ${formatSeconds(durationSeconds)}`,
  ])
}
