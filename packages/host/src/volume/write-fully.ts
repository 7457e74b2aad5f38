import type { FileHandle } from 'node:fs/promises'

const zeroBlock = new Uint8Array(1024 * 1024)

/** Writes all of a chunk, however the kernel splits it. */
export async function writeFully(
  handle: Pick<FileHandle, 'write'>,
  chunk: Uint8Array,
  offset: number,
): Promise<void> {
  let done = 0
  while (done < chunk.byteLength) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.byteLength - done, offset + done)
    if (bytesWritten === 0) throw Object.assign(new Error('Nothing could be written'), { code: 'ENOSPC' })
    done += bytesWritten
  }
}

/** Writes zeros, a MiB at a time, from one block that is never written to. */
export async function writeZeros(
  handle: Pick<FileHandle, 'write'>,
  offset: number,
  length: number,
): Promise<void> {
  for (let done = 0; done < length; done += zeroBlock.length) {
    await writeFully(handle, zeroBlock.subarray(0, Math.min(zeroBlock.length, length - done)), offset + done)
  }
}
