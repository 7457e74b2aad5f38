import { stat } from 'node:fs/promises'
import { MiB } from '@disk-image/core'
import type { Services } from '../services/services.ts'

/** A file with less missing is read faster than its map is asked for. */
const leastMissingBytes = 256 * MiB

/**
 * Where a raw file has nothing stored, as its filesystem says. Nothing where that can't be asked: Node.js itself has no
 * call for it, so qemu-img is asked, told that the file is raw; without it all of the file is read.
 */
export async function holesOf(
  { qemuImg }: Services,
  path: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly offset: number; readonly length: number }[] | undefined> {
  const found = await stat(path)
  if (!found.isFile() || found.size - found.blocks * 512 < leastMissingBytes) return undefined
  const map = await qemuImg.map(path, { format: 'raw', forceShare: true, signal }).catch(() => undefined)
  signal?.throwIfAborted()
  // What has nothing stored may still read as something, where it comes from elsewhere.
  return map?.flatMap(({ start, length, data, zero }) =>
    data || !zero || start + length > found.size ? [] : [{ offset: start, length }],
  )
}
