import { type CallOptions, MiB, type RandomAccessReader } from '@disk-image/core'
import { allocateSharedBuffer, isZero, prepareAhead } from '@disk-image/io'
import { DiskChangedError } from '../errors.ts'
import type { StoredDisk } from '../raw/stored-disk.ts'

/** Bytes of a disk that are read at once. */
export const windowBytes: number = MiB

/** The same in units of this size, at least one. */
export function windowBytesFor(unitBytes: number): number {
  return Math.max(windowBytes, unitBytes)
}

/** A part of a disk: whole units, the last one maybe cut off by the end of the disk. */
export interface DiskWindow {
  readonly offset: number
  readonly length: number
}

/**
 * The units of a disk in which something is stored, in order, each once, in windows that are cut at every MiB, or
 * unit where that is larger.
 *
 * @param unitBytes a power of two
 */
export async function* dataWindows(
  disk: Pick<StoredDisk, 'size' | 'extents'>,
  unitBytes: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<DiskWindow, void, void> {
  const mostBytes = windowBytesFor(unitBytes)
  let start = 0
  let end = 0
  for await (const { offset, length, kind } of disk.extents({ signal })) {
    if (kind !== 'data') continue
    const first = Math.max(end, Math.floor(offset / unitBytes) * unitBytes)
    const behind = Math.min(disk.size, Math.ceil((offset + length) / unitBytes) * unitBytes)
    if (first > end) {
      if (end > start) yield { offset: start, length: end - start }
      start = end = first
    }
    while (end < behind) {
      end = Math.min(behind, (Math.floor(end / mostBytes) + 1) * mostBytes)
      if (end % mostBytes !== 0 && end < disk.size) continue
      yield { offset: start, length: end - start }
      start = end
    }
  }
  if (end > start) yield { offset: start, length: end - start }
}

/**
 * Reads a part of a disk into memory, all of it.
 *
 * @throws {DiskChangedError} where the disk has become shorter
 */
export async function readDisk(
  disk: RandomAccessReader,
  { offset, length }: DiskWindow,
  into: Uint8Array,
): Promise<Uint8Array> {
  const bytes = into.subarray(0, length)
  const read = await disk.read(offset, length, bytes)
  if (read.length !== length) {
    throw new DiskChangedError(`it ends before its ${disk.size} bytes`, offset + read.length)
  }
  if (read.buffer !== bytes.buffer || read.byteOffset !== bytes.byteOffset) bytes.set(read)
  return bytes
}

/** Neighbouring units of a disk that hold data. */
export interface StoredUnits {
  /** Byte of the disk where the first one begins. */
  readonly offset: number
  /** Whole units, zero behind the end of the disk. Good until the next are asked for. */
  readonly bytes: Uint8Array
}

/** Windows that are read before their turn. */
const readAhead = 4

/** Reads the units of a disk in order, and leaves out those that are zero. */
export async function* readUnits(
  disk: StoredDisk,
  unitBytes: number,
  { signal, onProgress }: CallOptions = {},
): AsyncGenerator<StoredUnits, void, void> {
  const idle: Uint8Array[] = []
  const windows = dataWindows(disk, unitBytes, signal)
  const prepared = prepareAhead(windows, readAhead, async (window) => {
    const buffer = idle.pop() ?? allocateSharedBuffer(windowBytesFor(unitBytes))
    const { length } = await readDisk(disk, window, buffer)
    const end = Math.ceil(length / unitBytes) * unitBytes
    return { window, buffer, bytes: buffer.fill(0, length, end).subarray(0, end) }
  })
  for await (const { window, buffer, bytes } of prepared) {
    signal?.throwIfAborted()
    let start = 0
    for (let at = 0; at <= bytes.length; at += unitBytes) {
      const isData = at < bytes.length && !isZero(bytes.subarray(at, at + unitBytes))
      if (isData) continue
      if (at > start) yield { offset: window.offset + start, bytes: bytes.subarray(start, at) }
      start = at + unitBytes
    }
    idle.push(buffer)
    const completed = window.offset + window.length
    onProgress?.({ stage: 'convert', completed, total: disk.size, unit: 'bytes' })
  }
}
