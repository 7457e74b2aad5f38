import type { CallOptions } from '@disk-image/core'
import { allocateSharedBuffer, prepareAhead } from '@disk-image/io'
import { dataWindows, readDisk, windowBytesFor } from './disk-windows.ts'
import { type CompressKind, deflateSlackBytes } from './deflater.ts'
import type { EncodeShare } from './encode-workers.ts'
import type { StoredDisk } from '../raw/stored-disk.ts'

/** How the units of a disk are compressed. */
export interface CompressOptions extends CallOptions {
  readonly kind: CompressKind
  /** A power of two. */
  readonly unitBytes: number
  /** Left free in front of each unit's stream. @default 0 */
  readonly leadBytes?: number
  /** What each stream with its lead is filled up to. @default 1 */
  readonly alignBytes?: number
  /** Whether a unit whose stream would not be shorter is put there as it is. @default false */
  readonly storesPlain?: boolean
}

/** Neighbouring units. */
export interface CompressedUnits {
  /** Byte of the disk where the first one begins. */
  readonly offset: number
  /** Bytes of each unit's stream; 0: the unit is zero, and has none. */
  readonly lengths: Int32Array
  /** The streams, each with its lead and filling. Good until the next is asked for. */
  readonly bytes: Uint8Array
}

/** Compresses what a disk has stored, in order, a few MiB ahead on all threads of a share. */
export async function* compressDisk(
  disk: StoredDisk,
  share: EncodeShare,
  { signal, onProgress, ...options }: CompressOptions,
): AsyncGenerator<CompressedUnits, void, void> {
  const { kind, unitBytes, leadBytes = 0, alignBytes = 1, storesPlain = false } = options
  const windowBytes = windowBytesFor(unitBytes)
  const aroundBytes = leadBytes + alignBytes + Math.ceil(unitBytes / 64)
  const outputBytes = windowBytes + Math.ceil(windowBytes / unitBytes) * aroundBytes + deflateSlackBytes
  const idle: (readonly [input: Uint8Array, output: Uint8Array])[] = []
  const windows = dataWindows(disk, unitBytes, signal)
  const prepared = prepareAhead(windows, share.requestsAhead, async (window) => {
    const memory = idle.pop() ?? [allocateSharedBuffer(windowBytes), allocateSharedBuffer(outputBytes)]
    const [buffer, output] = memory
    const bytes = await readDisk(disk, window, buffer)
    const length = Math.ceil(window.length / unitBytes) * unitBytes
    // What the end of the disk has cut off is zero.
    buffer.fill(0, bytes.length, length)
    const input = buffer.subarray(0, length)
    const request = { kind, input, unitBytes, output, leadBytes, alignBytes, storesPlain }
    const { lengths } = await share.run(request)
    return { window, lengths, memory }
  })
  for await (const { window, lengths, memory } of prepared) {
    signal?.throwIfAborted()
    let end = 0
    for (const length of lengths) {
      if (length > 0) end += Math.ceil((leadBytes + length) / alignBytes) * alignBytes
    }
    yield { offset: window.offset, lengths, bytes: memory[1].subarray(0, end) }
    idle.push(memory)
    const completed = window.offset + window.length
    onProgress?.({ stage: 'convert', completed, total: disk.size, unit: 'bytes' })
  }
}
