import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { GzipDecoder, GzipError } from '@disk-image/disk'
import { unlessAborted } from '@disk-image/io'
import { XenserverArchiveError } from '../errors.ts'

/** Receives unpacked bytes, and how many went in and came out so far. */
export type UnpackedListener = (
  bytes: Uint8Array,
  compressedBytes: number,
  unpackedBytes: number,
) => Promise<void>

const chunkBytes = 256 * 1024

/**
 * Unpacks gzip as it arrives; nothing is read ahead of the listener but a chunk or two.
 *
 * @throws {XenserverArchiveError} rules `gzip-damaged`, `gzip-trailing`, `not-a-file`
 */
export async function gunzip(
  source: string | AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  listener: UnpackedListener,
): Promise<void> {
  signal?.throwIfAborted()
  const file = typeof source === 'string' ? await openArchive(source) : undefined
  const input: AsyncIterable<Uint8Array> =
    file?.createReadStream({ autoClose: false, highWaterMark: chunkBytes }) ??
    (source as AsyncIterable<Uint8Array>)
  let compressedBytes = 0
  let unpackedBytes = 0
  const decoder = new GzipDecoder(async (bytes) => {
    signal?.throwIfAborted()
    unpackedBytes += bytes.length
    await listener(bytes, compressedBytes, unpackedBytes)
  })
  const unpacking = (async (): Promise<void> => {
    for await (const bytes of input) {
      signal?.throwIfAborted()
      compressedBytes += bytes.length
      await decoder.write(bytes)
    }
    decoder.end()
  })()
  try {
    // A source that hangs is left to itself: nobody waits for it.
    await unlessAborted(unpacking, signal)
    signal?.throwIfAborted()
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof GzipError)) throw error
    const { offset, found, accepted, message: reason } = error
    const rule = error.problem === 'trailing' ? 'gzip-trailing' : 'gzip-damaged'
    throw new XenserverArchiveError({ rule, reason, offset, found, accepted, cause: error })
  } finally {
    decoder.destroy()
    if (file !== undefined) await file.close()
  }
}

async function openArchive(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new XenserverArchiveError({ rule: 'not-a-file', reason: 'it is not a regular file' })
}
