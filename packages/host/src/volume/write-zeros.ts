import type { FileHandle } from 'node:fs/promises'
import { writeFully } from '@disk-image/io'

const zeroBlock = new Uint8Array(1024 * 1024)

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
