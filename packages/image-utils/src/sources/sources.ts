import type { FileHandle } from 'node:fs/promises'
import {
  type CallOptions,
  type ImageRecord,
  type ImageService,
  InvalidError,
  NotSupportedOperationError,
  recordProblem,
  type RequestContext,
  type ResumePoint,
  type Source,
} from '@disk-image/core'
import { allocateBuffer, iterateUnlessAborted, readFully, transferVerified } from '@disk-image/io'
import { readHandleInChunks } from '../files/file-chunks.ts'

/** Bytes from anywhere, and what they are. */
export interface DescribedSource {
  readonly stored: Source
  /** Any name of the format; what is found must be it. @default whatever is found */
  readonly diskFormat?: string | undefined
  /** Neither its start nor its end has the mark of a format: onto a volume it counts as raw. @default false */
  readonly looksRaw?: boolean | undefined
  /**
   * As an image's `container_format`: `compressed` and `ova` are opened; `containerdisk`: a layer with the disk below
   * `disk/`. @default 'bare'
   */
  readonly containerFormat?: string | undefined
  /** Of an image of a service: it counts as a whole, signature and formats. */
  readonly record?: ImageRecord | undefined
}

/**
 * An image's record, whose fields have the types that everything after it counts on: any object may be a service.
 *
 * @throws {InvalidError} where a field has another type
 */
export async function showRecord(
  imageService: ImageService,
  context: RequestContext,
  imageId: string,
  options: CallOptions,
): Promise<ImageRecord> {
  const record = await imageService.show(context, imageId, options)
  const problem = recordProblem(record)
  if (problem === undefined) return record
  throw new InvalidError({ reason: `The record of image ${imageId} is not usable: ${problem}.` })
}

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
 * @param size bytes, where they are known already
 */
export async function fileSource(name: string, handle: FileHandle, size?: number): Promise<Source> {
  const found = size === undefined ? await handle.stat() : undefined
  const sizeBytes = size ?? (found?.isFile() === true ? found.size : undefined)
  return {
    name,
    sizeBytes,
    download: (sink, options = {}) => {
      const { resumeFrom, signal } = options
      const chunks = readHandleInChunks(handle, {
        start: resumeFrom?.bytes,
        length: remaining(sizeBytes, resumeFrom),
        signal,
      })
      const image = { id: name, size: sizeBytes ?? null }
      return transferVerified(chunks, sink, { ...options, image, hashForReport: 'sha256' })
    },
    readRange: async (offset, length) => {
      const bytes = allocateBuffer(length)
      return bytes.subarray(0, await readFully(handle, bytes, offset))
    },
  }
}

/** What is appended meanwhile is no part of it. */
function remaining(sizeBytes: number | undefined, resumeFrom: ResumePoint | undefined): number | undefined {
  return sizeBytes === undefined ? undefined : Math.max(0, sizeBytes - (resumeFrom?.bytes ?? 0))
}

/** Bytes by which it is told what a stream is wrapped in. */
export const peekedBytes = 512

/**
 * A stream that can be read once, from its start to its end. Its first bytes are read at once.
 *
 * @param name what a person calls it
 * @param options `sizeBytes`: of all of it, what comes to another size is refused; `signal`: gives up a stream that hangs
 */
export async function streamSource(
  name: string,
  stream: AsyncIterable<Uint8Array>,
  {
    sizeBytes,
    signal,
  }: { readonly sizeBytes?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<{ readonly stored: Source; readonly head: Uint8Array }> {
  const iterator = iterateUnlessAborted(stream, signal)
  const first: Uint8Array[] = []
  let bytes = 0
  let ended = false
  while (!ended && bytes < peekedBytes) {
    const next = await iterator.next()
    ended = next.done === true
    if (next.done === true) break
    // The stream may fill the same memory again.
    first.push(new Uint8Array(next.value))
    bytes += next.value.length
  }
  const head = Buffer.concat(first).subarray(0, peekedBytes)
  async function* rest(): AsyncGenerator<Uint8Array> {
    yield* first.splice(0)
    if (ended) return
    for (;;) {
      const next = await iterator.next()
      ended = next.done === true
      if (next.done === true) return
      yield next.value
    }
  }
  let isRead = false
  const stored: Source = {
    name,
    sizeBytes,
    download: async (sink, options = {}) => {
      if (options.resumeFrom !== undefined || isRead) {
        throw new NotSupportedOperationError({
          operation: `read ${name} again`,
          reason: 'It can be read once, from its start to its end: save it as a file first.',
        })
      }
      isRead = true
      return transferVerified(rest(), sink, {
        ...options,
        image: { id: name, size: sizeBytes ?? null },
        hashForReport: 'sha256',
      })
    },
    close: async () => {
      // Not awaited: a stream that hangs may hang here, too.
      if (!ended) iterator.return().catch(() => undefined)
    },
  }
  return { stored, head }
}
