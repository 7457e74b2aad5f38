import type { FileHandle } from 'node:fs/promises'
import type { RandomAccessReader } from '@disk-image/core'

/**
 * Fills memory from a file, however the kernel splits it.
 *
 * @returns how many bytes; less than there is room for only where the file ends
 */
export async function readFully(
  handle: Pick<FileHandle, 'read'>,
  into: Uint8Array,
  offset: number,
): Promise<number> {
  let done = 0
  while (done < into.byteLength) {
    const { bytesRead } = await handle.read(into, done, into.byteLength - done, offset + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

/**
 * The same, from what can be read anywhere. An answer that is longer than was asked for counts as an end: whoever
 * gives it is broken.
 */
export async function readFullyFrom(
  reader: RandomAccessReader,
  into: Uint8Array,
  offset: number,
): Promise<number> {
  let done = 0
  while (done < into.byteLength) {
    const rest = into.subarray(done)
    const bytes = await reader.read(offset + done, rest.byteLength, rest)
    if (bytes.byteLength === 0 || bytes.byteLength > rest.byteLength) break
    if (bytes.buffer !== rest.buffer || bytes.byteOffset !== rest.byteOffset) rest.set(bytes)
    done += bytes.byteLength
  }
  return done
}
