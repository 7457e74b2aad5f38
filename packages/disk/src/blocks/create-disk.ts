import { type CallOptions, type Disk, type Extent, InvalidError } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { copyExtents } from './copy-extents.ts'

const mostReadBytes = 1024 ** 3

/** What disks differ in. */
export interface DiskSource {
  readonly size: number
  /**
   * Fills memory with the disk's bytes from an offset on; all of it is inside the disk.
   *
   * @param isZero whether the memory is: otherwise it holds anything
   * @param requireOpen throws once the disk is closed or its signal has aborted
   */
  fill(bytes: Uint8Array, offset: number, isZero: boolean, requireOpen: () => void): Promise<void>
  /** The whole disk in order, without gaps. */
  extents(options: CallOptions): AsyncIterable<Extent>
}

/**
 * A disk that reads what its source has, until it is closed.
 *
 * @param signal ends every read, until the disk is closed
 */
export function createDisk(source: DiskSource, signal: AbortSignal | undefined): Disk {
  const { size } = source
  let isClosed = false
  const requireOpen = (): void => {
    signal?.throwIfAborted()
    if (isClosed) throw new InvalidError({ reason: 'The disk is closed.' })
  }

  async function read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    requireOpen()
    requireBytes(offset)
    requireBytes(length)
    const count = Math.min(size, offset + length) - offset
    if (count <= 0) return new Uint8Array(0)
    if (count > mostReadBytes) {
      throw new InvalidError({ reason: `A read of ${length} bytes is more than 1 GiB.` })
    }
    const isLent = into !== undefined && into.length >= count
    const bytes = isLent ? into.subarray(0, count) : allocateBuffer(count)
    await source.fill(bytes, offset, !isLent, requireOpen)
    requireOpen()
    return bytes
  }

  async function* extents(options: CallOptions = {}): AsyncGenerator<Extent, void, void> {
    let last: Extent | undefined
    requireOpen()
    for await (const { offset, length, kind } of source.extents(options)) {
      requireOpen()
      options.signal?.throwIfAborted()
      if (last?.kind === kind) last = { offset: last.offset, length: last.length + length, kind }
      else {
        if (last !== undefined) yield last
        last = { offset, length, kind }
      }
    }
    if (last !== undefined) yield last
  }

  const close = (): Promise<void> => {
    isClosed = true
    return Promise.resolve()
  }
  return {
    size,
    read,
    extents,
    copyTo: (receiver, options) => copyExtents({ size, read, extents }, receiver, options),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** @throws {InvalidError} for what is no number of bytes */
export function requireBytes(value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return
  throw new InvalidError({ reason: `${value} is no number of bytes.` })
}
