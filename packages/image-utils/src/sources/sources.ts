import type { FileHandle } from 'node:fs/promises'
import {
  type ImageRecord,
  type ImageService,
  NotSupportedOperationError,
  type RequestContext,
  type Source,
} from '@disk-image/core'
import { allocateBuffer, readFully, transferVerified } from '@disk-image/io'
import { readHandleInChunks } from '../files/file-chunks.ts'

/** The stored data of an image in a service. */
export function imageSource(service: ImageService, context: RequestContext, record: ImageRecord): Source {
  const { id, size, os_hash_algo: algorithm, os_hash_value: value, checksum } = record
  const source: Source = {
    name: id,
    sizeBytes: size ?? undefined,
    promises: [
      ...(typeof algorithm === 'string' && typeof value === 'string' ? [{ algorithm, value }] : []),
      ...(typeof checksum === 'string' ? [{ algorithm: 'md5', value: checksum }] : []),
    ],
    download: (sink, options) => service.download(context, id, sink, { ...options, record }),
  }
  if (service.readRange === undefined) return source
  return {
    ...source,
    readRange: async (offset, length, options) =>
      (await service.readRange?.(context, id, offset, length, options)) ?? new Uint8Array(0),
  }
}

/**
 * A local file or block device. The handle is the caller's, who closes it.
 *
 * @param name what a person calls it
 */
export async function fileSource(name: string, handle: FileHandle): Promise<Source> {
  const found = await handle.stat()
  const sizeBytes = found.isFile() ? found.size : undefined
  return {
    name,
    sizeBytes,
    download: async (sink, options = {}) => {
      const { resumeFrom, ...transfer } = options
      if (resumeFrom !== undefined) throw new NotSupportedOperationError({ operation: 'resume a local file' })
      const image = { id: name, size: sizeBytes ?? null }
      return transferVerified(readHandleInChunks(handle, { signal: options.signal }), sink, {
        ...transfer,
        image,
        hashForReport: 'sha256',
      })
    },
    readRange: async (offset, length) => {
      const bytes = allocateBuffer(length)
      return bytes.subarray(0, await readFully(handle, bytes, offset))
    },
  }
}
