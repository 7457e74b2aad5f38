import type { RequestContext } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import type { GlanceImage } from '../api/answers.ts'
import { ConnectionBrokenError } from '../transport/connection-error.ts'
import { dataPath, isRequestedRange, sendData } from './data-channel.ts'
import type { DataChannelOptions } from './data-channel.ts'

/** A parallel download. */
interface ParallelFetch {
  readonly image: GlanceImage
  readonly context: RequestContext | undefined
  readonly connections: number
  readonly preferStores: readonly string[] | undefined
  readonly signal: AbortSignal
  readonly from: number
  readonly size: number
  /** Takes the data in order. */
  take(bytes: Uint8Array): Promise<void>
}

const partBytes = 8 * 1024 * 1024
const maximumConnections = 16

/**
 * Fetches parts of 8 MiB over several connections and hands them on in order; memory holds one part more than there
 * are connections. It stops without an error at the first part that can't be had so: the rest is fetched in turn.
 */
export async function fetchParallel(channel: DataChannelOptions, fetch: ParallelFetch): Promise<void> {
  const width = Math.min(maximumConnections, Math.max(1, Math.floor(fetch.connections)))
  const stop = new AbortController()
  const signal = AbortSignal.any([fetch.signal, stop.signal])
  const waiting: Promise<Uint8Array | undefined>[] = []
  /** Of parts that were handed on: allocating costs more than filling. */
  const freed: Uint8Array[] = []
  let next = fetch.from
  const begin = (): void => {
    if (next >= fetch.size) return
    const start = next
    next = Math.min(fetch.size, start + partBytes)
    const memory = (freed.pop() ?? allocateBuffer(partBytes)).subarray(0, next - start)
    const part = fetchPart(channel, fetch, start, memory, signal)
    part.catch(() => undefined)
    waiting.push(part)
  }
  try {
    for (let index = 0; index < width; index += 1) begin()
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
      const bytes = await part.catch((error: unknown) => {
        fetch.signal.throwIfAborted()
        channel.logger.warn('A part of a download failed', { imageId: fetch.image.id, error })
      })
      if (bytes === undefined) return
      begin()
      await fetch.take(bytes)
      if (bytes.length === partBytes) freed.push(bytes)
    }
  } finally {
    stop.abort()
    await Promise.allSettled(waiting)
  }
}

async function fetchPart(
  channel: DataChannelOptions,
  { image, context, size, preferStores }: ParallelFetch,
  start: number,
  memory: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const end = start + memory.length
  let filled = 0
  const result = await sendData(channel, {
    method: 'GET',
    path: dataPath(image.id, preferStores),
    headers: {
      Accept: 'application/json, application/octet-stream;q=0.9',
      Range: `bytes=${start}-${end - 1}`,
    },
    context,
    signal,
    takeBody: ({ status, headers }) => {
      if (status === 206 && isRequestedRange(headers.get('content-range'), start, end - 1, size)) {
        return {
          nextBuffer: () => (filled < memory.length ? memory.subarray(filled) : undefined),
          take: (bytes) => {
            if (filled + bytes.length > memory.length) {
              throw new ConnectionBrokenError('body', 'more data than was asked for', { fatal: true })
            }
            if (bytes.buffer !== memory.buffer) memory.set(bytes, filled)
            filled += bytes.length
            return undefined
          },
        }
      }
      // The whole image is on its way: not here, and not once per connection.
      if (status === 200) throw new ConnectionBrokenError('body', 'the store has no ranges', { fatal: true })
      return undefined
    },
  })
  if (result.error !== undefined) throw result.error
  return filled === memory.length ? memory : undefined
}
