import type { RandomAccessReader } from '@disk-image/core'

/**
 * As many of the wanted bytes as there are: reads on after short answers, up to the reader's size.
 *
 * Rejects with what the reader rejects with, and with the signal's reason after an abort.
 *
 * @param into `length` bytes or more that the reader may fill; the result may lie in them
 */
export async function readFully(
  reader: RandomAccessReader,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
  into?: Uint8Array,
): Promise<Uint8Array> {
  const wanted = Math.max(0, Math.min(length, reader.size - offset))
  if (wanted === 0) return new Uint8Array(0)
  signal?.throwIfAborted()
  const first = await reader.read(offset, wanted, into)
  // Nearly always all of it comes at once, and needs no copy.
  if (first.length >= wanted || first.length === 0) return first.subarray(0, wanted)
  const bytes = new Uint8Array(wanted)
  bytes.set(first)
  let filled = first.length
  while (filled < wanted) {
    signal?.throwIfAborted()
    const piece = await reader.read(offset + filled, wanted - filled)
    if (piece.length === 0) break
    bytes.set(piece.subarray(0, wanted - filled), filled)
    filled += piece.length
  }
  return bytes.subarray(0, Math.min(filled, wanted))
}
