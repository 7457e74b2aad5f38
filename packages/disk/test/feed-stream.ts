import { open, type FileHandle } from 'node:fs/promises'
import { decodeQcow2Stream, type DecodeQcow2StreamOptions } from '@disk-image/disk/qcow2'
import type { Qcow2DecodeResult } from '@disk-image/disk/qcow2'

/** What {@link feedStream} does. */
export interface Feeding extends Omit<DecodeQcow2StreamOptions, 'file' | 'fileBytes' | 'keep'> {
  /** Where the decoder's file is made. */
  readonly file: string
  /** The whole stream. */
  readonly bytes: Uint8Array
  /** Bytes that are in the file before. @default 0 */
  readonly fileBytes?: number
  /** Writes that are under way at once. @default what the stream asks for */
  readonly concurrency?: number
  /** Bytes of the next chunk; at least one is sent. */
  readonly step: () => number
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
  const { file, bytes, fileBytes = 0, step, ...options } = feeding
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
    await using stream = await opened({ ...options, file: handle, fileBytes, keep: put })
    const underWay = new Set<Promise<void>>()
    const lend = async (chunk: Uint8Array): Promise<void> => {
      try {
        await stream.write(chunk)
      } finally {
        chunk.fill(given)
      }
    }
    const feedAll = async (): Promise<void> => {
      for (let at = fileBytes; at < bytes.byteLength;) {
        // A copy, also of a Buffer's bytes.
        const chunk = new Uint8Array(bytes.subarray(at, at + Math.max(1, step())))
        at += chunk.byteLength
        const lent = lend(chunk).finally(() => underWay.delete(lent))
        underWay.add(lent)
        if (underWay.size >= (feeding.concurrency ?? stream.concurrency)) await Promise.race(underWay)
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

async function opened(options: DecodeQcow2StreamOptions): Promise<
  AsyncDisposable & {
    readonly concurrency: number
    write(chunk: Uint8Array): Promise<void>
    end(): Promise<Qcow2DecodeResult>
  }
> {
  const stream = await decodeQcow2Stream(options)
  return {
    concurrency: stream.concurrency,
    write: (chunk) => stream.write(chunk),
    end: () => stream.end(),
    [Symbol.asyncDispose]: () => stream.close(),
  }
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  if (bytes.byteLength > 0) await handle.write(bytes, 0, bytes.byteLength, offset)
}
