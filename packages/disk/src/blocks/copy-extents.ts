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

/** Neighbouring bytes of a disk. */
export interface DiskPart {
  readonly offset: number
  readonly length: number
  /** Absent where all are zero. */
  readonly bytes?: Uint8Array | undefined
}

interface Pending {
  readonly offset: number
  readonly length: number
  /** Absent where the bytes are zero. */
  readonly bytes?: Promise<Uint8Array> | undefined
  readonly buffer?: Uint8Array | undefined
}

/**
 * Reads a disk in order, and ahead; of a disk of any size a few MiB are in memory. The bytes are valid until the next
 * part is asked for.
 *
 * @param allocate makes the memory that is read into
 */
export async function* readExtents(
  disk: RandomAccessReader & { extents(options?: CallOptions): AsyncIterable<Extent> },
  { signal }: CallOptions = {},
  allocate: (bytes: number) => Uint8Array = allocateBuffer,
): AsyncGenerator<DiskPart, void, void> {
  const queue: Pending[] = []
  const buffers: Uint8Array[] = []
  const next = async function* (): AsyncGenerator<DiskPart, void, void> {
    const { offset, length, bytes, buffer } = queue.shift() as Pending
    yield { offset, length, bytes: await bytes }
    if (buffer !== undefined) buffers.push(buffer)
    signal?.throwIfAborted()
  }
  try {
    for await (const { offset, length, kind } of windowsOf(disk.extents({ signal }))) {
      if (queue.length === readAhead) yield* next()
      if (kind === 'data') {
        const buffer = buffers.pop() ?? allocate(windowBytes)
        const bytes = disk.read(offset, length, buffer)
        // It is awaited later; a failure until then is not an unhandled one.
        bytes.catch(() => undefined)
        queue.push({ offset, length, bytes, buffer })
      } else queue.push({ offset, length })
    }
    while (queue.length > 0) yield* next()
  } finally {
    // Nothing may still read when the caller closes the file.
    await Promise.allSettled(queue.map(({ bytes }) => Promise.resolve(bytes)))
  }
}

/** Hands a disk over in order, as {@link readExtents} reads it. */
export async function copyExtents(
  disk: RandomAccessReader & { extents(options?: CallOptions): AsyncIterable<Extent> },
  receiver: DiskReceiver,
  { signal, onProgress }: CallOptions = {},
  allocate?: (bytes: number) => Uint8Array,
): Promise<void> {
  for await (const { offset, length, bytes } of readExtents(disk, { signal }, allocate)) {
    if (bytes === undefined) await receiver.zero(offset, length)
    else await receiver.data(offset, bytes)
    onProgress?.({ stage: 'convert', completed: offset + length, total: disk.size, unit: 'bytes' })
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
