import { type Disk, type Extent, InvalidError, type RandomAccessReader } from '@disk-image/core'
import { allocateBuffer } from '@disk-image/io'
import { copyExtents } from '../blocks/copy-extents.ts'
import { checkReadTables, checkRefcounts, type TableReader } from './check-tables.ts'
import { DiskReader } from './disk-reader.ts'
import { parseL1Table } from './tables.ts'
import { requireReadable } from './plan-qcow2.ts'
import { layoutHeadBytes } from '../layouts/head.ts'
import type { StreamPlanOptions } from '../stream/stream-decoder.ts'
import { parseQcow2 } from './layout.ts'
import { refuse } from './errors.ts'
import { openCipher } from './open-cipher.ts'

/** Options of {@link openQcow2}. */
export interface OpenQcow2Options extends StreamPlanOptions {
  /**
   * Of an image that is encrypted with LUKS. All bytes of it count; it may be wiped when the disk is open.
   * @default such an image is refused
   */
  readonly passphrase?: Uint8Array | undefined
  /** Ends every read, from now until the disk is closed. */
  readonly signal?: AbortSignal | undefined
}

/** Options of {@link Qcow2Disk.stream}. */
export interface Qcow2ReadOptions {
  /** First byte. @default 0 */
  readonly start?: number | undefined
  /** Byte behind the last one. @default the disk's end */
  readonly end?: number | undefined
  /** @default 1 MiB */
  readonly chunkSizeBytes?: number | undefined
}

/** The disk inside a qcow2 file, and so itself a reader. */
export interface Qcow2Disk extends Disk {
  readonly virtualSizeBytes: number
  readonly clusterSize: number
  /** Whether its data was encrypted; it is decrypted when it is read. */
  readonly isEncrypted: boolean
  /**
   * At most `length` bytes from `offset`, fewer only at the disk's end, none behind it.
   *
   * @throws {Qcow2DecodeError} where a table or cluster that it needs is damaged
   * @throws {InvalidError} on a negative or fractional place, or more than 1 GiB at once
   */
  read(offset: number, length: number): Promise<Uint8Array>
  /** The whole disk in order; neighbours are of different kinds. */
  extents(): AsyncIterable<Extent>
  /** The disk's bytes in order, zeros included. */
  stream(options?: Qcow2ReadOptions): AsyncIterable<Uint8Array>
  /** Ends all reads. The file's own reader stays open. */
  close(): Promise<void>
}

const maximumReadBytes = 1024 ** 3
const defaultChunkBytes = 1024 ** 2
const extentKinds = { unallocated: 'hole', zero: 'zero', normal: 'data', compressed: 'data' } as const

/**
 * Opens the active disk of a qcow2 file for reading anywhere. Only tables and clusters that a read touches are read and
 * checked; whether two clusters share their place is seen by {@link decodeQcow2} alone.
 * Memory: the L1 table (8 bytes for each 512 MiB of disk at 64 KiB clusters) and some 8 MiB.
 *
 * @throws {Qcow2DecodeError} where the layout, the L1 table or the snapshot table is damaged or not supported
 */
export async function openQcow2(
  reader: RandomAccessReader,
  options: OpenQcow2Options = {},
): Promise<Qcow2Disk> {
  const { passphrase, signal } = options
  signal?.throwIfAborted()
  const layout = parseQcow2(await reader.read(0, layoutHeadBytes))
  requireReadable(layout, options)
  const tables = tableReader(reader)
  // Whether a place is used twice is for the decoder to see.
  const claim = (): void => undefined
  const l1Bytes = layout.l1Entries * 8
  const l1 = parseL1Table(await tables.read(Number(layout.l1Offset), l1Bytes, 'the L1 table', claim), layout)
  await checkReadTables(layout, tables, claim)
  await checkRefcounts(layout, tables, claim)
  signal?.throwIfAborted()
  const isEncrypted = layout.cryptMethod !== 0 && passphrase !== undefined
  const cipher = isEncrypted ? await openCipher(reader, layout, passphrase, signal) : undefined
  return { isEncrypted, ...createDisk(new DiskReader(reader, layout, l1, cipher), signal) }
}

function tableReader(reader: RandomAccessReader): TableReader {
  const requireInside = (offset: number, length: number, table: string): Promise<void> => {
    if (offset + length <= reader.size) return Promise.resolve()
    return refuse('qcow2-table-outside-file', `${table} lies outside the file`, offset)
  }
  const read = async (offset: number, length: number, table: string): Promise<Uint8Array> => {
    await requireInside(offset, length, table)
    const bytes = await reader.read(offset, length)
    if (bytes.byteLength !== length) throw new Error('the qcow2 file is shorter than was said')
    return bytes
  }
  return { read, requireInside }
}

function createDisk(disk: DiskReader, signal: AbortSignal | undefined): Omit<Qcow2Disk, 'isEncrypted'> {
  const { sizeBytes: virtualSizeBytes, clusterSize } = disk.layout
  let isClosed = false
  const requireOpen = (): void => {
    signal?.throwIfAborted()
    if (isClosed) throw new InvalidError({ reason: 'The qcow2 disk is closed.' })
  }

  async function read(offset: number, length: number): Promise<Uint8Array> {
    requireOpen()
    checkPlace('offset', offset)
    checkPlace('length', length)
    const end = Math.min(virtualSizeBytes, offset + length)
    if (end <= offset) return new Uint8Array(0)
    if (end - offset > maximumReadBytes) {
      throw new InvalidError({ reason: `A read of ${length} bytes is more than 1 GiB.` })
    }
    const bytes = allocateBuffer(end - offset)
    for await (const ranges of disk.ranges(offset, end)) {
      for (const range of ranges) {
        const start = range.offset - offset
        await disk.read(range, bytes.subarray(start, start + range.length))
        requireOpen()
      }
    }
    return bytes
  }

  async function* extents(): AsyncGenerator<Extent> {
    let current: Extent | undefined
    for await (const ranges of disk.ranges(0, virtualSizeBytes)) {
      requireOpen()
      for (const { kind: stored, offset, length } of ranges) {
        const kind = extentKinds[stored]
        if (current?.kind === kind) {
          current = { offset: current.offset, length: current.length + length, kind }
        } else {
          if (current !== undefined) yield current
          current = { offset, length, kind }
        }
      }
    }
    if (current !== undefined) yield current
  }

  async function* stream(options: Qcow2ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { start = 0, end = virtualSizeBytes, chunkSizeBytes = defaultChunkBytes } = options
    checkPlace('start', start)
    checkPlace('end', end)
    if (!Number.isSafeInteger(chunkSizeBytes) || chunkSizeBytes <= 0) {
      throw new InvalidError({ reason: `The chunk size ${chunkSizeBytes} is no number of bytes.` })
    }
    const stop = Math.min(end, virtualSizeBytes)
    for (let offset = start; offset < stop; offset += chunkSizeBytes) {
      yield await read(offset, Math.min(chunkSizeBytes, stop - offset))
    }
  }

  const close = (): Promise<void> => {
    isClosed = true
    return disk.close()
  }
  return {
    size: virtualSizeBytes,
    virtualSizeBytes,
    clusterSize,
    read,
    extents,
    copyTo: (receiver, options) => copyExtents({ size: virtualSizeBytes, read, extents }, receiver, options),
    stream,
    close,
    [Symbol.asyncDispose]: close,
  }
}

function checkPlace(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new InvalidError({ reason: `The ${name} ${value} is no number of bytes.` })
  }
}
