import type { FileHandle } from 'node:fs/promises'
import type { EncodedImage, UploadSource } from '@disk-image/core'
import { gzipImage } from '@disk-image/disk'
import { holdFile } from '@disk-image/host'
import { readFileInChunks, readHandleInChunks } from '../files/file-chunks.ts'
import type { Services } from '../services/services.ts'

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

/** The same bytes as gzip, compressed while they are sent. */
export function gzipSource(
  { encodeWorkers: workers }: Pick<Services, 'encodeWorkers'>,
  source: UploadSource,
  signal: AbortSignal | undefined,
): UploadSource {
  const open = (): AsyncIterable<Uint8Array> => source.open()
  const packed = gzipImage({ format: 'raw', temporaryBytes: 0, open }, { workers })
  return { open: () => packed.open({ signal }) }
}
