import type { RandomAccessReader } from '@disk-image/core'
import { Fields, readFully } from '@disk-image/disk/layouts'
import { Examination } from './examination.ts'
import { firstBytes, headBytes, tailBytes, type Ahead, type Range } from './engine/steps.ts'
import { neededHead } from './formats/index.ts'
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

/** Ranges that are read before they are asked for, and their bytes: with head and tail they bound all memory. */
const mostAhead = 4
const mostAheadBytes = 128 * 1024

interface Reading extends Range {
  readonly bytes: Promise<Uint8Array>
  readonly room: Uint8Array
}

/**
 * Reads the ranges of an examination, and meanwhile those that it says come next: a wait for each of twenty
 * tables takes longer than to look at them. Nothing is read twice, and memory is used again, since new memory
 * costs more than what is read into it.
 */
class ReadAhead {
  readonly #reader: RandomAccessReader
  readonly #signal: AbortSignal | undefined
  readonly #known: number
  readonly #free: Uint8Array[]
  /** In ascending order. */
  #underWay: Reading[] = []
  #lent: Uint8Array | undefined

  /**
   * @param known bytes from the start that need not be read
   * @param room memory that may be used
   */
  constructor(reader: RandomAccessReader, signal: AbortSignal | undefined, known: number, room?: Uint8Array) {
    this.#reader = reader
    this.#known = known
    this.#signal = signal
    this.#free = room === undefined ? [] : [room]
  }

  /**
   * The bytes of a range, which are good until the next call.
   *
   * @param ahead the ranges that are likely to be asked for next
   */
  async take(range: Range, ahead?: Ahead): Promise<Uint8Array> {
    if (this.#lent !== undefined) this.#free.push(this.#lent)
    this.#lent = undefined
    const reading = (await this.#find(range)) ?? this.#start(range)
    if (ahead !== undefined) this.#plan(reading, ahead)
    const bytes = await reading.bytes
    this.#lent = reading.room
    return bytes
  }

  /** Waits for what is under way, so that the caller may close what it is read from. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#underWay.map(({ bytes }) => bytes))
  }

  /** Takes a range from those under way. Those before it are not wanted any more. */
  async #find({ offset, length }: Range): Promise<Reading | undefined> {
    for (let first = this.#underWay[0]; first !== undefined; first = this.#underWay[0]) {
      if (first.offset > offset) return undefined
      this.#underWay.shift()
      if (first.offset === offset && first.length === length) return first
      await Promise.allSettled([first.bytes])
      this.#free.push(first.room)
    }
    return undefined
  }

  #plan(current: Range, ahead: Ahead): void {
    let bytes = this.#underWay.reduce((sum, { length }) => sum + length, 0)
    // Those under way are the first of them.
    for (let nth = this.#underWay.length; this.#underWay.length < mostAhead; nth += 1) {
      const range = ahead(nth)
      if (range === undefined || range.offset >= this.#reader.size) return
      const last = this.#underWay.at(-1) ?? current
      if (range.offset < this.#known || range.offset <= last.offset) continue
      bytes += range.length
      if (bytes > mostAheadBytes) return
      this.#underWay.push(this.#start(range))
    }
  }

  #start({ offset, length }: Range): Reading {
    const free = this.#free.pop()
    const room = free !== undefined && free.length >= length ? free : allocateBuffer(length)
    const bytes = readFully(this.#reader, offset, length, this.#signal, room)
    // Whoever takes it gets the error; nobody need take it.
    bytes.catch(() => undefined)
    return { offset, length, bytes, room }
  }
}

/** Not at the start of its pages: what the kernel copies to there, some processors copy at a fifth of their speed. */
function allocateBuffer(bytes: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(64 + bytes), 64)
}
