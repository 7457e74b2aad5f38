import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import type { RandomAccessReader } from '@disk-image/core'
import { readFully, readFullyFrom } from '@disk-image/io'
import { VhdError } from '../errors/vhd-error.ts'

/** Where a VHD is read from: a path, an open file, or anything that can be read anywhere. */
export type VhdSource = string | FileHandle | RandomAccessReader

/** A source that is open. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number
  readonly path: string | undefined
  /** Leads to the very file that is open, whatever its path leads to by now; of files only. */
  readonly heldPath?: string | undefined
  /** The same text for the same file, whatever its names. */
  readonly identity: string | undefined
  /** When the file was last written, milliseconds since 1970; of files only. */
  readonly modifiedMs: number | undefined
  /**
   * Fills the target from the offset on.
   *
   * @throws {VhdError} rule `truncated` where the source ends before
   */
  read(target: Uint8Array, offset: number): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a source for reading. A path's file is closed by `close`; what was given open stays open.
 *
 * @throws {VhdError} rule `not-a-file` where the path is a folder, a device, a pipe or a socket
 */
export async function openSource(source: VhdSource): Promise<ByteSource> {
  if (typeof source === 'string') {
    const handle = await openWithoutWaiting(source, constants.O_RDONLY)
    try {
      return await fileSource(handle, source, () => handle.close())
    } catch (error) {
      await handle.close()
      throw error
    }
  }
  if ('fd' in source) return await fileSource(source, undefined, () => Promise.resolve())
  return {
    size: source.size,
    path: undefined,
    identity: undefined,
    modifiedMs: undefined,
    read: (target, offset) => readWhole(readFullyFrom(source, target, offset), target, offset),
    close: () => Promise.resolve(),
  }
}

/**
 * Opens a path, and never waits: a pipe with nobody behind it would keep a plain open waiting for ever.
 *
 * @throws {VhdError} rule `not-a-file` for what can't be opened at all, such as a socket
 */
export async function openWithoutWaiting(path: string, flags: number, mode?: number): Promise<FileHandle> {
  try {
    return await open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, mode)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    throw ['ENXIO', 'ENODEV', 'EISDIR'].includes(code) ? notAFile(path) : error
  }
}

function notAFile(path: string | undefined): VhdError {
  return new VhdError({ path, rule: 'not-a-file', reason: 'it is not a regular file' })
}

async function fileSource(
  handle: FileHandle,
  path: string | undefined,
  close: () => Promise<void>,
): Promise<ByteSource> {
  const stat = await handle.stat({ bigint: true })
  if (!stat.isFile()) throw notAFile(path)
  return {
    size: Number(stat.size),
    path,
    heldPath: `/proc/self/fd/${handle.fd}`,
    identity: `${stat.dev}:${stat.ino}`,
    modifiedMs: Number(stat.mtimeMs),
    read: (target, offset) => readWhole(readFully(handle, target, offset), target, offset, path),
    close,
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
