import {
  type CallOptions,
  type DiskReceiver,
  type Extent,
  MiB,
  type RandomAccessReader,
} from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'

/** Reads that are under way before their turn. */
const readAhead = 4
const windowBytes = MiB

interface Pending {
  readonly offset: number
  readonly length: number
  /** Absent where the bytes are zero. */
  readonly bytes?: Promise<Uint8Array> | undefined
  readonly buffer?: Uint8Array | undefined
}

/**
 * Hands a disk over in order; of a disk of any size a few MiB are in memory.
 *
 * @param allocate makes the memory that is read into
 */
export async function copyExtents(
  disk: RandomAccessReader & { extents(options?: CallOptions): AsyncIterable<Extent> },
  receiver: DiskReceiver,
  { signal, onProgress }: CallOptions = {},
  allocate: (bytes: number) => Uint8Array = allocateBuffer,
): Promise<void> {
  const queue: Pending[] = []
  const buffers: Uint8Array[] = []
  const deliver = async ({ offset, length, bytes, buffer }: Pending): Promise<void> => {
    if (bytes === undefined) await receiver.zero(offset, length)
    else await receiver.data(offset, await bytes)
    if (buffer !== undefined) buffers.push(buffer)
    signal?.throwIfAborted()
    onProgress?.({ stage: 'convert', completed: offset + length, total: disk.size, unit: 'bytes' })
  }
  try {
    for await (const { offset, length, kind } of windowsOf(disk.extents({ signal }))) {
      if (queue.length === readAhead) await deliver(queue.shift() as Pending)
      if (kind === 'data') {
        const buffer = buffers.pop() ?? allocate(windowBytes)
        const bytes = disk.read(offset, length, buffer)
        // It is awaited later; a failure until then is not an unhandled one.
        bytes.catch(() => undefined)
        queue.push({ offset, length, bytes, buffer })
      } else queue.push({ offset, length })
    }
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await deliver(next)
  } finally {
    // Nothing may still read when the caller closes the file.
    await Promise.allSettled(queue.map(({ bytes }) => Promise.resolve(bytes)))
  }
}

/** Cuts data at each MiB. */
async function* windowsOf(extents: AsyncIterable<Extent>): AsyncGenerator<Extent, void, void> {
  for await (const extent of extents) {
    const end = extent.offset + extent.length
    for (let offset = extent.offset; offset < end;) {
      const next =
        extent.kind === 'data' ? Math.min(end, (Math.floor(offset / windowBytes) + 1) * windowBytes) : end
      yield { offset, length: next - offset, kind: extent.kind }
      offset = next
    }
  }
}
