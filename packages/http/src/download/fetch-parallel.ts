import type { Logger } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { ConnectionBrokenError } from '../errors.ts'
import { isRequestedRange } from './origin.ts'
import type { DownloadOrigin } from './origin.ts'

/** A parallel download. */
interface ParallelFetch {
  readonly connections: number
  readonly signal: AbortSignal
  readonly from: number
  readonly size: number
  /** Told of bytes as they arrive, in whatever order: a part may take longer than a download may stand still. */
  arrived(bytes: number): void
  /** Takes the data in order. */
  take(bytes: Uint8Array): Promise<void>
}

const partBytes = 8 * 1024 * 1024
const maximumConnections = 16

/**
 * Fetches parts of 8 MiB over several connections and hands them on in order; memory holds one part more than there
 * are connections. It stops without an error at the first part that can't be had so: the rest is fetched in turn.
 */
export async function fetchParallel(
  origin: DownloadOrigin,
  fetch: ParallelFetch,
  logger: Logger,
): Promise<void> {
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
    const part = fetchPart(origin, { ...fetch, signal }, start, memory)
    part.catch(() => undefined)
    waiting.push(part)
  }
  try {
    for (let index = 0; index < width; index += 1) begin()
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
      const bytes = await part.catch((error: unknown) => {
        fetch.signal.throwIfAborted()
        logger.warn('A part of a download failed', { imageId: origin.name, error })
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
  origin: DownloadOrigin,
  { size, signal, arrived }: Pick<ParallelFetch, 'size' | 'signal' | 'arrived'>,
  first: number,
  memory: Uint8Array,
): Promise<Uint8Array | undefined> {
  const last = first + memory.length - 1
  let filled = 0
  const result = await origin.fetch({
    range: { first, last },
    signal,
    takeBody: ({ status, headers }) => {
      if (status === 206 && isRequestedRange(headers.get('content-range'), first, last, size)) {
        return {
          nextBuffer: () => (filled < memory.length ? memory.subarray(filled) : undefined),
          take: (bytes) => {
            if (filled + bytes.length > memory.length) {
              throw new ConnectionBrokenError('body', 'more data than was asked for', { fatal: true })
            }
            if (bytes.buffer !== memory.buffer) memory.set(bytes, filled)
            filled += bytes.length
            arrived(bytes.length)
            return undefined
          },
        }
      }
      // The whole image is on its way: not here, and not once per connection.
      if (status === 200) throw new ConnectionBrokenError('body', 'the server has no ranges', { fatal: true })
      return undefined
    },
  })
  if (result.error !== undefined) throw result.error
  return filled === memory.length ? memory : undefined
}
