import { type FileHandle, stat } from 'node:fs/promises'
import type { UploadSource } from '@disk-image/core'
import { blockDeviceSize } from '@disk-image/host'
import { readFileInChunks, readHandleInChunks } from '../sources/file-chunks.ts'

/** A source whose size is known. */
export interface SizedSource extends UploadSource {
  readonly size: number
}

// Shared, so that the thread that hashes an upload reads the very memory that is sent: a copy into shared memory
// takes about as long as sending does.
const shared = true

/** A file or block device, read from its start as often as it takes. */
export async function fileSource(path: string, signal: AbortSignal | undefined): Promise<SizedSource> {
  const found = await stat(path)
  const size = found.isBlockDevice() ? await blockDeviceSize(path) : found.size
  return { size, open: () => readFileInChunks(path, { length: size, shared, signal }) }
}

/** The same of an open handle, which stays open. */
export async function handleSource(
  handle: FileHandle,
  path: string,
  signal: AbortSignal | undefined,
): Promise<SizedSource> {
  const found = await handle.stat()
  const size = found.isBlockDevice() ? await blockDeviceSize(path) : found.size
  return { size, open: () => readHandleInChunks(handle, { length: size, shared, signal }) }
}
