import { type FileHandle, open } from 'node:fs/promises'

/** What of a file is read. */
export interface FileChunksOptions {
  /** First byte. @default 0 */
  readonly start?: number | undefined
  /** Most bytes. @default to the end */
  readonly length?: number | undefined
  readonly signal?: AbortSignal | undefined
}

const chunkBytes = 1024 * 1024

/** A file or block device as chunks of 1 MiB. Every chunk is valid until the next one is asked for. */
export async function* readFileInChunks(
  file: string,
  options: FileChunksOptions = {},
): AsyncGenerator<Uint8Array> {
  const handle = await open(file, 'r')
  try {
    yield* readHandleInChunks(handle, options)
  } finally {
    await handle.close()
  }
}

/** The same of an open handle, which stays open. */
export async function* readHandleInChunks(
  handle: FileHandle,
  options: FileChunksOptions = {},
): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(chunkBytes)
  let position = options.start ?? 0
  let left = options.length ?? Number.POSITIVE_INFINITY
  while (left > 0) {
    options.signal?.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, left), position)
    if (bytesRead === 0) return
    position += bytesRead
    left -= bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** The first bytes of a file, fewer where it is shorter. */
export async function readHead(file: string, length: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of readFileInChunks(file, { length })) chunks.push(new Uint8Array(chunk))
  return Buffer.concat(chunks)
}
