import type { RandomAccessReader } from '@disk-image/core'
import { Examination } from './engine/examination.ts'
import { headBytes, tailBytes } from './engine/steps.ts'
import type { InspectionResult } from './result.ts'

/** Options of {@link inspect}. */
export interface InspectOptions {
  /** Ends the inspection, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Judges an image that can be read anywhere. It reads the first MiB, the tables that the format has, and the
 * last 4 KiB, and says what a stream of the same bytes would get.
 *
 * Rejects with what the reader rejects with, and with the signal's reason after an abort.
 */
export async function inspect(
  reader: RandomAccessReader,
  options: InspectOptions = {},
): Promise<InspectionResult> {
  const { signal } = options
  const { size } = reader
  const readAll = async (offset: number, length: number): Promise<Uint8Array> => {
    const wanted = Math.max(0, Math.min(length, size - offset))
    if (wanted === 0) return new Uint8Array(0)
    signal?.throwIfAborted()
    const first = await reader.read(offset, wanted)
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
  signal?.throwIfAborted()
  const examination = new Examination(await readAll(0, headBytes))
  const { walk } = examination
  for (let missing = walk.missing; missing !== undefined; missing = walk.missing) {
    walk.answer(await readAll(missing.offset, missing.length))
  }
  const tail = await readAll(Math.max(0, size - tailBytes), tailBytes)
  return examination.finish({ sizeBytes: size, tail })
}
