import {
  type CallOptions,
  type Disk,
  type Extent,
  InvalidError,
  type RandomAccessReader,
} from '@disk-image/core'
import { createDisk, type DiskSource, requireBytes } from '../blocks/create-disk.ts'
import { checkReadTables, checkRefcounts, type TableReader } from './check-tables.ts'
import { DiskReader, openCipher } from './disk-reader.ts'
import { parseL1Table } from './tables.ts'
import { requireReadable } from './plan-qcow2.ts'
import { layoutHeadBytes } from '../layouts/fields.ts'
import type { StreamPlanOptions } from '../stream/stream-decoder.ts'
import { parseQcow2 } from './layout.ts'
import { DiskChangedError, refuseQcow2 } from '../errors.ts'

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
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>
  /** The whole disk in order; neighbours are of different kinds. */
  extents(options?: CallOptions): AsyncIterable<Extent>
  /** The disk's bytes in order, zeros included. */
  stream(options?: Qcow2ReadOptions): AsyncIterable<Uint8Array>
  /** Ends all reads. The file's own reader stays open. */
  close(): Promise<void>
}

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
  return { isEncrypted, ...createQcow2Disk(new DiskReader(reader, layout, l1, cipher), signal) }
}

function tableReader(reader: RandomAccessReader): TableReader {
  const requireInside = (offset: number, length: number, table: string): Promise<void> => {
    if (offset + length <= reader.size) return Promise.resolve()
    return refuseQcow2('qcow2-table-outside-file', `${table} lies outside the file`, offset)
  }
  const read = async (offset: number, length: number, table: string): Promise<Uint8Array> => {
    await requireInside(offset, length, table)
    const bytes = await reader.read(offset, length)
    if (bytes.byteLength !== length) throw new DiskChangedError('its file became shorter', offset)
    return bytes
  }
  return { read, requireInside }
}

function createQcow2Disk(
  reader: DiskReader,
  signal: AbortSignal | undefined,
): Omit<Qcow2Disk, 'isEncrypted'> {
  const { sizeBytes: virtualSizeBytes, clusterSize } = reader.layout
  const fill: DiskSource['fill'] = async (bytes, offset, isZero, requireOpen) => {
    if (!isZero) bytes.fill(0)
    for await (const ranges of reader.ranges(offset, offset + bytes.length)) {
      for (const range of ranges) {
        const start = range.offset - offset
        await reader.read(range, bytes.subarray(start, start + range.length))
        requireOpen()
      }
    }
  }
  async function* extents(): AsyncGenerator<Extent, void, void> {
    for await (const ranges of reader.ranges(0, virtualSizeBytes)) {
      for (const { kind, offset, length } of ranges) yield { offset, length, kind: extentKinds[kind] }
    }
  }
  const disk = createDisk({ size: virtualSizeBytes, fill, extents }, signal)

  async function* stream(options: Qcow2ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const { start = 0, end = virtualSizeBytes, chunkSizeBytes = defaultChunkBytes } = options
    for (const value of [start, end, chunkSizeBytes]) requireBytes(value)
    if (chunkSizeBytes === 0) throw new InvalidError({ reason: 'A chunk has at least one byte.' })
    const stop = Math.min(end, virtualSizeBytes)
    for (let offset = start; offset < stop; offset += chunkSizeBytes) {
      yield await disk.read(offset, Math.min(chunkSizeBytes, stop - offset))
    }
  }

  const close = async (): Promise<void> => {
    await disk.close()
    await reader.close()
  }
  return { ...disk, virtualSizeBytes, clusterSize, stream, close, [Symbol.asyncDispose]: close }
}
