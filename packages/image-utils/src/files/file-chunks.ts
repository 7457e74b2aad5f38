import type { FileHandle } from 'node:fs/promises'
import { allocateBuffer, allocateSharedBuffer } from '@disk-image/io'
import { type HoldOptions, openSource } from '@disk-image/host'

/** What of a file is read. */
export interface FileChunksOptions {
  /** First byte. @default 0 */
  readonly start?: number | undefined
  /** Most bytes. @default to the end */
  readonly length?: number | undefined
  /** Read into shared memory, which another thread can hash where it lies. @default false */
  readonly shared?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

const chunkBytes = 1024 * 1024

/**
 * A file or block device as chunks of 1 MiB. Every chunk is valid until the next one is asked for.
 *
 * @throws {InvalidError} for a pipe, a socket, a terminal or a folder
 */
export async function* readFileInChunks(
  file: string,
  options: FileChunksOptions & HoldOptions = {},
): AsyncGenerator<Uint8Array> {
  const { handle } = await openSource(file, options)
  try {
    yield* readHandleInChunks(handle, options)
  } finally {
    await handle.close()
  }
}

/** The same of an open handle, which stays open. The next chunk is read while its receiver has this one. */
export async function* readHandleInChunks(
  handle: FileHandle,
  options: FileChunksOptions = {},
): AsyncGenerator<Uint8Array> {
  const end = (options.start ?? 0) + (options.length ?? Number.POSITIVE_INFINITY)
  const room = (): Uint8Array =>
    options.shared === true ? allocateSharedBuffer(chunkBytes) : allocateBuffer(chunkBytes)
  let current = room()
  let other = room()
  const read = (into: Uint8Array, position: number): Promise<number> => {
    const reading = handle.read(into, 0, Math.min(into.length, end - position), position)
    const bytes = reading.then(({ bytesRead }) => bytesRead)
    // It is awaited when its turn comes; a failure until then is not an unhandled one.
    bytes.catch(() => undefined)
    return bytes
  }
  let position = options.start ?? 0
  let ahead = read(current, position)
  try {
    while (position < end) {
      options.signal?.throwIfAborted()
      const bytes = await ahead
      if (bytes === 0) return
      position += bytes
      if (position < end) ahead = read(other, position)
      yield current.subarray(0, bytes)
      ;[current, other] = [other, current]
    }
  } finally {
    // Nothing may still read when the caller closes the handle.
    await ahead.catch(() => 0)
  }
}
