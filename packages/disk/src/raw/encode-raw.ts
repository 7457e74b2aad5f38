import type { CallOptions, Disk, EncodedImage } from '@disk-image/core'
import { allocateSharedBuffer } from '@disk-image/io'
import { readExtents } from '../blocks/copy-extents.ts'
import { storedDisk, zeroChunks } from './stored-disk.ts'

/** A disk as it is: its own bytes are the file. */
export function encodeRaw(disk: Disk): Promise<EncodedImage> {
  const { size } = disk
  async function* open({ signal, onProgress }: CallOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    for await (const { offset, length, bytes } of readExtents(
      storedDisk(disk),
      { signal },
      allocateSharedBuffer,
    )) {
      if (bytes === undefined) yield* zeroChunks(length)
      else yield bytes
      onProgress?.({ stage: 'convert', completed: offset + length, total: size, unit: 'bytes' })
    }
  }
  return Promise.resolve({
    format: 'raw',
    sizeBytes: size,
    temporaryBytes: 0,
    open,
    async writeTo(target, options) {
      await disk.copyTo(
        {
          data: (offset, bytes) => target.write(bytes, offset),
          zero: (offset, length) => target.zero(offset, length),
        },
        options,
      )
      return size
    },
  })
}
