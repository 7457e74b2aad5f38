import { type CallOptions, type Disk, InvalidError, MiB } from '@disk-image/core'
import { footerBytes, maximumDiskBytes, roundUp } from '@disk-image/disk/vhd'
import { prepareAhead } from '@disk-image/io'
import { layOut } from '../format/new-disk.ts'

/** Bytes in order, with their number known before the first. It can be read once per loop. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** Exactly so many bytes come: a Content-Length. */
  readonly sizeBytes: number
}

/** Bytes of zeros that are handed out at a time, and of data. */
const zeroBytes = 256 * 1024
const windowBytes: number = MiB
const readAhead = 3

/** A disk as its bytes. Chunks of zeros share their memory: they are for reading only. */
export function streamRaw(disk: Disk, { signal, onProgress }: CallOptions = {}): ByteStream {
  return {
    sizeBytes: disk.size,
    async *[Symbol.asyncIterator]() {
      for await (const { offset, length, kind } of disk.extents({ signal })) {
        const read = (at: number): Promise<Uint8Array> =>
          disk.read(at, Math.min(windowBytes, offset + length - at))
        if (kind === 'data') yield* prepareAhead(windowsOf(offset, length), readAhead, read)
        else yield* zeroes(length)
        signal?.throwIfAborted()
        onProgress?.({ stage: 'convert', completed: offset + length, total: disk.size, unit: 'bytes' })
      }
    },
  }
}

function* windowsOf(offset: number, length: number): Generator<number, void, void> {
  for (let at = offset; at < offset + length; at += windowBytes) yield at
}

/** So many zeros, in chunks. */
function* zeroes(length: number): Generator<Uint8Array, void, void> {
  const chunk = new Uint8Array(Math.min(length, zeroBytes))
  for (let left = length; left > 0; left -= chunk.length)
    yield chunk.subarray(0, Math.min(left, chunk.length))
}

/** Options of {@link streamFixedVhd}. */
export interface FixedVhdOptions extends CallOptions {
  /** What the disk's size is rounded up to, with zeros. @default 1 MiB, as Azure wants it */
  readonly alignBytes?: number | undefined
  /** @default a random one */
  readonly uniqueId?: string | undefined
}

/** A disk as a fixed VHD: its bytes, zeros up to a whole MiB, and a footer. */
export function streamFixedVhd(disk: Disk, options: FixedVhdOptions = {}): ByteStream {
  const { sizeBytes, footer } = fixedDisk(disk.size, options)
  return {
    sizeBytes: sizeBytes + footerBytes,
    async *[Symbol.asyncIterator]() {
      yield* streamRaw(disk, options)
      yield* zeroes(sizeBytes - disk.size)
      yield footer
    },
  }
}

/** A fixed disk's size and footer for a disk of so many bytes. */
export function fixedDisk(
  diskBytes: number,
  { alignBytes = MiB, uniqueId }: Pick<FixedVhdOptions, 'alignBytes' | 'uniqueId'>,
): { readonly sizeBytes: number; readonly footer: Uint8Array } {
  const sizeBytes = roundUp(diskBytes, alignBytes)
  if (!(alignBytes >= footerBytes && alignBytes % footerBytes === 0) || sizeBytes > maximumDiskBytes) {
    throw new InvalidError({
      reason: `alignBytes is ${alignBytes}; a multiple of 512 that keeps the disk below 2040 GiB is right`,
    })
  }
  return { sizeBytes, footer: layOut({ type: 'fixed', style: 'windows', sizeBytes, uniqueId }).footer }
}
