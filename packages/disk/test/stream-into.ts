import { open, type FileHandle } from 'node:fs/promises'
import type { RandomAccessReader } from '@disk-image/core'
import { openStreamDecoder, planStream, type StreamPlanOptions } from '@disk-image/disk'
import { readerOf } from './unit/formats/read-all.ts'
import type { Random } from './random.ts'

/** What came of {@link streamInto}. */
export interface StreamedInto {
  readonly sizeBytes: number
  /** Bytes that took the way through the spool. */
  readonly spooledBytes: number
}

/** A stream that no decoder takes, and why. */
export class NotStreamed extends Error {}

/**
 * Feeds an image to its stream decoder in chunks of chance, several at once, and writes the disk into a new file.
 * Chunks that it gave back are overwritten at once.
 *
 * @throws {NotStreamed} where the plan does not support it; what the decoder throws
 */
export async function streamInto(
  random: Random,
  format: string,
  image: Uint8Array | RandomAccessReader,
  files: { readonly spool: string; readonly target: string },
  workers = 0,
  { passphrase, ...planning }: StreamPlanOptions & { readonly passphrase?: Uint8Array } = {},
): Promise<StreamedInto> {
  const reader = image instanceof Uint8Array ? readerOf(image) : image
  const plan = planStream(format, await reader.read(0, 1024 ** 2), planning)
  if (!plan.supported) throw new NotStreamed(plan.reason)
  await using spool = await open(files.spool, 'w+')
  await using target = await open(files.target, 'w')
  let sizeBytes = plan.sizeBytes
  let spooledBytes = 0
  const requireInside = (offset: number, length: number): void => {
    // Of some only the end tells.
    const most = sizeBytes ?? (format === 'vpc' || format === 'luks' ? reader.size : 0)
    if (length < 1 || offset + length > most) {
      throw new Error(`${length} bytes at ${offset} of a disk of ${sizeBytes}`)
    }
  }
  const decoder = await openStreamDecoder(plan.layout, {
    workers,
    passphrase,
    onSize: (told) => {
      if (sizeBytes !== undefined && sizeBytes !== told) throw new Error('another size than the plan has')
      sizeBytes = told
      return Promise.resolve()
    },
    spool: {
      file: spool,
      memoryBytes: 64 * 1024,
      write: async (chunk, offset) => {
        if (offset + chunk.length > reader.size) throw new Error('more is spooled than has come')
        spooledBytes += chunk.length
        await writeFully(spool, chunk, offset)
      },
    },
    target: {
      write: async (bytes, offset) => {
        requireInside(offset, bytes.length)
        await writeFully(target, bytes, offset)
      },
      zero: (offset, length) => Promise.resolve(requireInside(offset, length)),
    },
  })
  try {
    await feed(random, reader, (chunk, offset) => decoder.write(chunk, offset))
    const { virtualSizeBytes } = await decoder.end()
    await target.truncate(virtualSizeBytes)
    return { sizeBytes: virtualSizeBytes, spooledBytes }
  } finally {
    await decoder.close()
  }
}

async function feed(
  random: Random,
  image: RandomAccessReader,
  write: (chunk: Uint8Array, offset: number) => Promise<void>,
): Promise<void> {
  const most = random.pick([100_000, 100_000, 1024 ** 2, 3 * 1024 ** 2, 100])
  const underWay = new Set<Promise<void>>()
  const lend = async (chunk: Uint8Array, offset: number): Promise<void> => {
    try {
      await write(chunk, offset)
    } finally {
      chunk.fill(0xaa)
    }
  }
  try {
    for (let at = 0; at < image.size;) {
      // Small ones would take for ever.
      const length = Math.ceil(1 + random.below(most) + (most < 1000 ? image.size / 3000 : 0))
      const chunk = await image.read(at, length)
      const lent = lend(chunk, at).finally(() => underWay.delete(lent))
      // The next chunk is waited for meanwhile.
      lent.catch(() => undefined)
      underWay.add(lent)
      at += chunk.length
      if (underWay.size >= 3) await Promise.race(underWay)
    }
    await Promise.all(underWay)
  } finally {
    await Promise.allSettled(underWay)
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done)
    done += bytesWritten
  }
}
