import type { FileTarget } from './vhd-file.ts'

/** Zeros are found in steps of this many bytes: a file gets holes there. */
const granuleBytes = 65_536
const zeroes: Uint8Array = new Uint8Array(granuleBytes)

/** Whether every byte is zero. */
export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += zeroes.length) {
    const part = bytes.subarray(at, at + zeroes.length)
    if (
      Buffer.compare(part, part.length === zeroes.length ? zeroes : zeroes.subarray(0, part.length)) !== 0
    ) {
      return false
    }
  }
  return true
}

/** Writes bytes into a new file, but for the zeros among them. */
export async function writeSparsely(target: FileTarget, bytes: Uint8Array, offset: number): Promise<void> {
  const isZeroAt = (at: number): boolean => isZero(bytes.subarray(at, at + granuleBytes))
  for (let at = 0; at < bytes.length;) {
    let end = Math.min(at + granuleBytes, bytes.length)
    if (!isZeroAt(at)) {
      while (end < bytes.length && !isZeroAt(end)) end = Math.min(end + granuleBytes, bytes.length)
      await target.write(bytes.subarray(at, end), offset + at)
    }
    at = end
  }
}

/** Makes a range of an existing file read as zeros, and writes only where it does not yet: holes stay holes. */
export async function ensureZero(target: FileTarget, start: number, end: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(1024 ** 2, Math.max(0, end - start)))
  const stop = Math.min(end, await target.currentSize())
  for (let at = start; at < stop; at += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, stop - at))
    await target.read(part, at)
    if (!isZero(part)) await target.write(part.fill(0), at)
  }
}
