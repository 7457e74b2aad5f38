import type { FileTarget } from './file-target.ts'

const zeroes: Uint8Array = new Uint8Array(65_536)

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
