import { open, type FileHandle } from 'node:fs/promises'
import type { Target } from '@disk-image/core'
import type { Qcow2DecodeResult } from '@disk-image/disk/qcow2'
import { parseQcow2 } from '@disk-image/disk/layouts'
import { openQcow2Stream, type Qcow2StreamOptions } from '../src/qcow2/stream-decoder.ts'

/** What {@link feedStream} does. */
export interface Feeding extends Omit<Qcow2StreamOptions, 'spool' | 'spooledBytes' | 'target'> {
  readonly target: Pick<Target, 'write'> & Partial<Pick<Target, 'zero'>>
  /** Where the decoder's file is made. */
  readonly file: string
  /** The whole stream. */
  readonly bytes: Uint8Array
  /** Bytes that are in the file before. @default 0 */
  readonly fileBytes?: number
  /** Writes that are under way at once. @default 3 */
  readonly concurrency?: number
  /** Bytes of the next chunk; at least one is sent. */
  readonly step: () => number
  /** Is waited for before the next chunk is sent. */
  readonly wait?: () => Promise<void>
}

/** What came of it. */
export interface Fed {
  readonly result: Qcow2DecodeResult
  /** 1 for each byte of the stream that was put into the file. */
  readonly kept: Uint8Array
  readonly keptBytes: number
}

/** A chunk that is given back is overwritten with this. */
const given = 0xaa

/** Feeds a file to the decoder, as a download would. Chunks that it gave back are overwritten at once. */
export async function feedStream(feeding: Feeding): Promise<Fed> {
  const { file, bytes, fileBytes = 0, step, wait, target, ...others } = feeding
  const handle = await open(file, 'w+')
  const kept = new Uint8Array(bytes.byteLength)
  let keptBytes = 0
  const put = async (chunk: Uint8Array, offset: number): Promise<void> => {
    if (offset + chunk.byteLength > bytes.byteLength) throw new Error('more is kept than has come')
    if (kept.subarray(offset, offset + chunk.byteLength).includes(1)) throw new Error('bytes are kept twice')
    kept.fill(1, offset, offset + chunk.byteLength)
    keptBytes += chunk.byteLength
    await writeFully(handle, chunk, offset)
  }
  try {
    await put(bytes.subarray(0, fileBytes), 0)
    const zero = (offset: number, length: number): Promise<void> =>
      target.zero?.(offset, length) ?? Promise.resolve()
    const options = {
      ...others,
      target: { zero, write: (chunk: Uint8Array, offset: number) => target.write(chunk, offset) },
      spool: { file: handle, memoryBytes: 100_000, write: put },
      spooledBytes: fileBytes,
    }
    await using stream = await opened(bytes, options)
    const underWay = new Set<Promise<void>>()
    const lend = async (chunk: Uint8Array, offset: number): Promise<void> => {
      try {
        await stream.write(chunk, offset)
      } finally {
        chunk.fill(given)
      }
    }
    const feedAll = async (): Promise<void> => {
      for (let at = fileBytes; at < bytes.byteLength;) {
        // A copy, also of a Buffer's bytes.
        const chunk = new Uint8Array(bytes.subarray(at, at + Math.max(1, step())))
        const lent = lend(chunk, at).finally(() => underWay.delete(lent))
        at += chunk.byteLength
        underWay.add(lent)
        await wait?.()
        if (underWay.size >= (feeding.concurrency ?? 3)) await Promise.race(underWay)
      }
      await Promise.all(underWay)
    }
    try {
      await feedAll()
    } finally {
      await Promise.allSettled(underWay)
    }
    return { result: await stream.end(), kept, keptBytes }
  } finally {
    await handle.close()
  }
}

async function opened(
  bytes: Uint8Array,
  options: Qcow2StreamOptions,
): Promise<
  AsyncDisposable & {
    write(chunk: Uint8Array, offset: number): Promise<void>
    end(): Promise<Qcow2DecodeResult>
  }
> {
  const stream = await openQcow2Stream(parseQcow2(bytes.subarray(0, 1024 ** 2)), options)
  return {
    write: (chunk, offset) => stream.write(chunk, offset),
    end: () => stream.end(),
    [Symbol.asyncDispose]: () => stream.close(),
  }
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  if (bytes.byteLength > 0) await handle.write(bytes, 0, bytes.byteLength, offset)
}
