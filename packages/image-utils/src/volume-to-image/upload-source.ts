import { type FileHandle, open } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import type { EncodedImage, UploadSource, CallOptions } from '@disk-image/core'
import { holdFile, spaceError } from '@disk-image/host'
import { writeFully } from '@disk-image/io'
import { readFileInChunks, readHandleInChunks } from '../files/file-chunks.ts'

/** A source whose size is known. */
export interface SizedSource extends UploadSource {
  readonly size: number
}

// Shared, so that the thread that hashes an upload reads the very memory that is sent: a copy into shared memory
// takes about as long as sending does.
const shared = true

/**
 * A file or block device, read from its start as often as it takes.
 *
 * @throws {InvalidError} for a pipe, a socket, a terminal or a folder
 */
export async function fileSource(path: string, signal: AbortSignal | undefined): Promise<SizedSource> {
  await using held = await holdFile(path)
  const size = held.sizeBytes
  return { size, open: () => readFileInChunks(path, { length: size, shared, signal }) }
}

/** The same of an open handle, which stays open. */
export async function handleSource(
  handle: FileHandle,
  signal: AbortSignal | undefined,
): Promise<SizedSource> {
  await using held = await holdFile(`/proc/self/fd/${handle.fd}`)
  const size = held.sizeBytes
  return { size, open: () => readHandleInChunks(handle, { length: size, shared, signal }) }
}

/**
 * A disk in another format, laid out while it is sent.
 *
 * @param confirm is called before the end of the bytes; where it throws, no service has them whole
 */
export function encodedSource(
  encoded: EncodedImage,
  signal: AbortSignal | undefined,
  confirm: () => Promise<void>,
): UploadSource {
  const { sizeBytes: size } = encoded
  return {
    size,
    async *open() {
      let position = 0
      for await (const chunk of encoded.open({ signal })) {
        position += chunk.length
        if (position === size) await confirm()
        yield chunk
      }
      await confirm()
    },
  }
}

/**
 * Compresses a file as gzip, in members of 1 MiB on several threads. Every gzip decoder reads members one
 * after the other as one stream.
 *
 * @see RFC 1952, 2.2
 */
export async function gzipFile(
  source: string,
  destination: string,
  options: CallOptions & { readonly imageId: string },
): Promise<void> {
  const compress = promisify(process.getBuiltinModule('node:zlib').gzip)
  const handle = await open(destination, 'r+')
  try {
    const inFlight: Promise<Buffer>[] = []
    const atOnce = Math.max(2, availableParallelism())
    let taken = 0
    let position = 0
    const writeNext = async (): Promise<void> => {
      const member = await inFlight.shift()
      if (member === undefined) return
      await writeFully(handle, member, position)
      position += member.length
    }
    for await (const chunk of readFileInChunks(source, options)) {
      const member = compress(new Uint8Array(chunk))
      // A failure is reported where the member is awaited, in order.
      member.catch(() => undefined)
      inFlight.push(member)
      taken += chunk.length
      options.onProgress?.({ stage: 'convert', completed: taken, unit: 'bytes' })
      if (inFlight.length >= atOnce) await writeNext()
    }
    if (taken === 0) inFlight.push(compress(new Uint8Array(0)))
    while (inFlight.length > 0) await writeNext()
    await handle.truncate(position)
    await handle.datasync()
  } catch (error) {
    throw (await spaceError(error, { path: destination, imageId: options.imageId })) ?? error
  } finally {
    await handle.close()
  }
}
