import type { RandomAccessReader } from '@disk-image/core'
import { Examination } from './engine/examination.ts'
import { firstBytes, headBytes, tailBytes } from './engine/steps.ts'
import { Fields } from './fields.ts'
import { neededHead } from './formats/index.ts'
import { readFully } from './read-fully.ts'
import type { InspectionResult } from './result.ts'

/** Options of {@link inspect}. */
export interface InspectOptions {
  /** Ends the inspection, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Judges an image that can be read anywhere. It reads the first 128 KiB (up to a MiB where the format has more
 * to say there), the tables that the format has, and the last 4 KiB, and says what a stream of the same bytes
 * would get.
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
  let head = await readAll(0, firstBytes)
  const needed = Math.min(neededHead(new Fields(head)), headBytes)
  // One piece of memory for all pieces of tables: new memory costs more than what is read into it.
  let room: Uint8Array = new Uint8Array(0)
  if (needed > head.length && size > head.length) {
    room = head
    // All of it at once: both parts and the whole would be more memory than is promised.
    head = await readAll(0, needed)
  }
  const examination = new Examination(head, Math.min(size, headBytes))
  const { walk } = examination
  for (let missing = walk.missing; missing !== undefined; missing = walk.missing) {
    if (room.length < missing.length) room = new Uint8Array(missing.length)
    walk.answer(await readFully(reader, missing.offset, missing.length, signal, room))
  }
  const start = Math.max(0, size - tailBytes)
  const tail = size <= head.length ? head.subarray(start) : await readAll(start, tailBytes)
  return examination.finish({ sizeBytes: size, tail })
}
