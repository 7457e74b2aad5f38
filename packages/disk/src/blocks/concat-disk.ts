import { allocateBuffer } from '@disk-image/io'
import { type CallOptions, type Disk, type DiskReceiver, type Extent, InvalidError } from '@disk-image/core'
import { copyExtents } from './copy-extents.ts'

/** A disk that is a part of another, behind those before it. */
export type DiskPart = Pick<Disk, 'size' | 'read' | 'extents'>

/** Disks behind each other, as one. */
export function concatDisks(parts: readonly DiskPart[], signal: AbortSignal | undefined): Disk {
  const starts: number[] = []
  let size = 0
  for (const part of parts) {
    starts.push(size)
    size += part.size
  }
  let isClosed = false
  const requireOpen = (): void => {
    signal?.throwIfAborted()
    if (isClosed) throw new InvalidError({ reason: 'The disk is closed.' })
  }

  async function read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    requireOpen()
    const count = Math.max(0, Math.min(length, size - offset))
    const bytes = into !== undefined && into.length >= count ? into.subarray(0, count) : allocateBuffer(count)
    for (const [index, part] of parts.entries()) {
      const start = starts[index] as number
      const from = Math.max(offset, start)
      const end = Math.min(offset + count, start + part.size)
      if (from >= end) continue
      const room = bytes.subarray(from - offset, end - offset)
      const found = await part.read(from - start, room.length, room)
      if (found.buffer !== room.buffer || found.byteOffset !== room.byteOffset) room.set(found)
    }
    requireOpen()
    return bytes
  }

  async function* extents(options?: CallOptions): AsyncGenerator<Extent, void, void> {
    for (const [index, part] of parts.entries()) {
      requireOpen()
      const start = starts[index] as number
      for await (const { offset, length, kind } of part.extents(options)) {
        yield { offset: start + offset, length, kind }
      }
    }
  }

  const close = (): Promise<void> => {
    isClosed = true
    return Promise.resolve()
  }
  return {
    size,
    read,
    extents,
    copyTo: (receiver: DiskReceiver, options?: CallOptions) =>
      copyExtents({ size, read, extents }, receiver, options),
    close,
    [Symbol.asyncDispose]: close,
  }
}
