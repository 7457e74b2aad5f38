import type { RandomAccessReader } from '@disk-image/core'
import { Examination } from './examination.ts'
import { ReadAhead } from './engine/read-ahead.ts'
import { firstBytes, headBytes, tailBytes } from './engine/steps.ts'
import { Fields } from '@disk-image/disk/layouts'
import { neededHead } from './formats/index.ts'
import { readFully } from '@disk-image/disk/layouts'
import type { InspectionResult } from './result.ts'

/** Options of {@link inspect}. */
export interface InspectOptions {
  /** Ends the inspection, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Judges an image that can be read anywhere. It reads the first 128 KiB (up to a MiB where the format has more
 * to say there), the tables that the format has, a few of them at once, and the last 4 KiB, and says what a
 * stream of the same bytes would get.
 *
 * Rejects with what the reader rejects with, and with the signal's reason after an abort.
 */
export async function inspect(
  reader: RandomAccessReader,
  options: InspectOptions = {},
): Promise<InspectionResult> {
  const { signal } = options
  const { size } = reader
  signal?.throwIfAborted()
  const readAll = (offset: number, length: number): Promise<Uint8Array> =>
    readFully(reader, offset, length, signal)
  // Read beside the head: each wait for a reader takes longer than all that is done with the bytes.
  const start = Math.max(0, size - tailBytes)
  const end = size > firstBytes ? readAll(start, tailBytes) : undefined
  end?.catch(() => undefined)
  try {
    let head = await readAll(0, firstBytes)
    const needed = Math.min(neededHead(new Fields(head)), headBytes)
    let room: Uint8Array | undefined
    if (needed > head.length && size > head.length) {
      room = head
      // All of it at once: both parts and the whole would be more memory than is promised.
      head = await readAll(0, needed)
    }
    const examination = new Examination(head, Math.min(size, headBytes))
    await lookIntoTables(examination, new ReadAhead(reader, signal, head.length, room))
    return examination.finish({ sizeBytes: size, tail: (await end) ?? head.subarray(start) })
  } finally {
    // The caller may close what is read from.
    await Promise.allSettled([end])
  }
}

async function lookIntoTables({ walk }: Examination, tables: ReadAhead): Promise<void> {
  try {
    for (let missing = walk.missing; missing !== undefined; missing = walk.missing) {
      walk.answer(await tables.take(missing, walk.ahead))
    }
  } finally {
    await tables.end()
  }
}
