import type { RandomAccessReader } from '@disk-image/core'
import { readFullyFrom } from '@disk-image/io'
import { VhdError } from './vhd-error.ts'

/** Where the bytes of a chain's disk are read from. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number
  /** As the caller named it; readers have none. */
  readonly path?: string | undefined
  /** The same text for the same file, whatever its names. */
  readonly identity?: string | undefined
  /**
   * Fills the target from the offset on.
   *
   * @throws {VhdError} rule `truncated` where the source ends before
   */
  read(target: Uint8Array, offset: number): Promise<void>
}

/** A reader as a source. */
export function sourceOf(reader: RandomAccessReader): ByteSource {
  return {
    size: reader.size,
    read: (target, offset) => readWhole(readFullyFrom(reader, target, offset), target, offset),
  }
}

/** @throws {VhdError} rule `truncated` where a reading filled less than the target */
export async function readWhole(
  reading: Promise<number>,
  target: Uint8Array,
  offset: number,
  path?: string,
): Promise<void> {
  const bytes = await reading
  if (bytes === target.length) return
  const reason = 'the file ends before its contents'
  throw new VhdError({ path, rule: 'truncated', reason, offset: offset + bytes })
}

/** Bytes of their own, `length` of them from the offset. */
export async function readBytes(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  await source.read(bytes, offset)
  return bytes
}
