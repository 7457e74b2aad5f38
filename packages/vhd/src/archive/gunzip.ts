import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Gunzip } from 'node:zlib'
import { XenserverArchiveError } from '../errors/xenserver-archive-error.ts'

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
 * @throws {XenserverArchiveError} rules `gzip-damaged`, `not-a-file`
 */
export async function gunzip(
  source: string | AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  listener: UnpackedListener,
): Promise<void> {
  const file = typeof source === 'string' ? await openArchive(source) : undefined
  const input: AsyncIterable<Uint8Array> =
    file?.createReadStream({ autoClose: false, highWaterMark: chunkBytes }) ??
    (source as AsyncIterable<Uint8Array>)
  const unpacker = process.getBuiltinModule('node:zlib').createGunzip({ chunkSize: chunkBytes })
  const onAbort = (): void => void unpacker.destroy(signal?.reason as Error)
  signal?.addEventListener('abort', onAbort, { once: true })
  let compressedBytes = 0
  let unpackedBytes = 0
  const feeding = feed(input, unpacker, (count) => (compressedBytes += count))
  try {
    for await (const bytes of unpacker as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted()
      unpackedBytes += bytes.length
      await listener(bytes, compressedBytes, unpackedBytes)
    }
    signal?.throwIfAborted()
  } catch (error) {
    signal?.throwIfAborted()
    const { code } = error as NodeJS.ErrnoException
    if (code?.startsWith('Z_') !== true) throw error
    const reason =
      code === 'Z_BUF_ERROR' ? 'its compressed data stops before the end' : 'its compressed data is damaged'
    throw new XenserverArchiveError({ rule: 'gzip-damaged', reason, offset: compressedBytes, cause: error })
  } finally {
    signal?.removeEventListener('abort', onAbort)
    unpacker.destroy()
    // A source that hangs is left to itself: nobody waits for it.
    feeding.catch(() => undefined)
    if (file !== undefined) await file.close()
  }
}

async function feed(
  input: AsyncIterable<Uint8Array>,
  unpacker: Gunzip,
  count: (bytes: number) => void,
): Promise<void> {
  try {
    for await (const bytes of input) {
      if (unpacker.destroyed || unpacker.readableEnded) return
      count(bytes.length)
      if (!unpacker.write(bytes)) await writable(unpacker)
    }
    unpacker.end()
  } catch (error) {
    unpacker.destroy(error as Error)
  }
}

/** Waits until more may be written, or nobody reads any more. */
function writable(unpacker: Gunzip): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const settle = (): void => {
    for (const name of ['drain', 'close', 'end', 'error']) unpacker.off(name, settle)
    resolve()
  }
  for (const name of ['drain', 'close', 'end', 'error']) unpacker.on(name, settle)
  if (unpacker.destroyed || !unpacker.writableNeedDrain) settle()
  return promise
}

async function openArchive(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new XenserverArchiveError({ rule: 'not-a-file', reason: 'it is not a regular file' })
}
