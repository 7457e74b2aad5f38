import type { RandomAccessReader } from '@disk-image/core'
import { Examination } from './engine/examination.ts'
import { headBytes, tailBytes } from './engine/steps.ts'
import { readFully } from './read-fully.ts'
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
  const readAll = (offset: number, length: number): Promise<Uint8Array> =>
    readFully(reader, offset, length, signal)
  signal?.throwIfAborted()
  const examination = new Examination(await readAll(0, headBytes))
  const { walk } = examination
  for (let missing = walk.missing; missing !== undefined; missing = walk.missing) {
    walk.answer(await readAll(missing.offset, missing.length))
  }
  const tail = await readAll(Math.max(0, size - tailBytes), tailBytes)
  return examination.finish({ sizeBytes: size, tail })
}
