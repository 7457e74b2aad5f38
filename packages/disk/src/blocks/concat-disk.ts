import type { CallOptions, Disk, Extent } from '@disk-image/core'
import { createDisk } from './create-disk.ts'

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

  async function fill(bytes: Uint8Array, offset: number): Promise<void> {
    for (const [index, part] of parts.entries()) {
      const start = starts[index] as number
      const from = Math.max(offset, start)
      const end = Math.min(offset + bytes.length, start + part.size)
      if (from >= end) continue
      const room = bytes.subarray(from - offset, end - offset)
      const found = await part.read(from - start, room.length, room)
      if (found.buffer !== room.buffer || found.byteOffset !== room.byteOffset) room.set(found)
    }
  }

  async function* extents(options: CallOptions): AsyncGenerator<Extent, void, void> {
    for (const [index, part] of parts.entries()) {
      const start = starts[index] as number
      for await (const { offset, length, kind } of part.extents(options)) {
        yield { offset: start + offset, length, kind }
      }
    }
  }

  return createDisk({ size, fill, extents }, signal)
}
