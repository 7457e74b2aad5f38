import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { RandomAccessReader } from '@disk-image/core'
import { type ByteSource, readWhole, sourceOf, VhdError } from '@disk-image/disk/vhd'
import { isZero, readFully, writeFully, writeSparsely } from '@disk-image/io'
import { nameSpace } from '../errors.ts'

/** Where a VHD is read from: a path, an open file, or anything that can be read anywhere. */
export type VhdSource = string | FileHandle | RandomAccessReader

/** A source that is open. */
export interface OpenSource extends ByteSource {
  /** Leads to the very file that is open, whatever its path leads to by now; of files only. */
  readonly heldPath?: string | undefined
  /** When the file was last written, milliseconds since 1970; of files only. */
  readonly modifiedMs?: number | undefined
  close(): Promise<void>
}

/** A file that is written in place. Every write is whole or the call fails. */
export interface FileTarget extends OpenSource {
  write(bytes: Uint8Array, offset: number): Promise<void>
  truncate(size: number): Promise<void>
  /** Everything written so far is on the disk when it resolves. */
  sync(): Promise<void>
  /** Bytes of the file now. */
  currentSize(): Promise<number>
}

/** How files are opened for writing; tests put one in between that dies half-way. */
export type OpenTarget = (path: string) => Promise<FileTarget>

/**
 * Opens a source for reading. A path's file is closed by `close`; what was given open stays open.
 *
 * @throws {VhdError} rule `not-a-file` where the path is a folder, a device, a pipe or a socket
 */
export async function openSource(source: VhdSource): Promise<OpenSource> {
  if (typeof source === 'string') return openFile(source, constants.O_RDONLY)
  if ('fd' in source) return { ...(await fileSource(source, undefined)), close: () => Promise.resolve() }
  return { ...sourceOf(source), close: () => Promise.resolve() }
}

/**
 * Opens an existing regular file for reading and writing.
 *
 * @throws {VhdError} rule `not-a-file`
 */
export function openTarget(path: string): Promise<FileTarget> {
  return openFile(path, constants.O_RDWR)
}

/** Makes a new file, mode 0600; it must not exist. */
export function createTarget(path: string): Promise<FileTarget> {
  return openFile(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW)
}

/** Opens a file, and never waits: a pipe with nobody behind it would keep a plain open waiting for ever. */
async function openFile(path: string, flags: number): Promise<FileTarget> {
  let handle: FileHandle
  try {
    handle = await open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, 0o600)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    throw ['ENXIO', 'ENODEV', 'EISDIR'].includes(code) ? notAFile(path) : nameSpace(error, path)
  }
  try {
    return await fileSource(handle, path)
  } catch (error) {
    await handle.close().catch(() => undefined)
    throw error
  }
}

function notAFile(path: string | undefined): VhdError {
  return new VhdError({ path, rule: 'not-a-file', reason: 'it is not a regular file' })
}

async function fileSource(handle: FileHandle, path: string | undefined): Promise<FileTarget> {
  const stat = await handle.stat({ bigint: true })
  if (!stat.isFile()) throw notAFile(path)
  const withSpace = async (act: Promise<void>): Promise<void> => {
    await act.catch((error: unknown) => {
      throw nameSpace(error, path)
    })
  }
  return {
    size: Number(stat.size),
    path,
    heldPath: `/proc/self/fd/${handle.fd}`,
    identity: `${stat.dev}:${stat.ino}`,
    modifiedMs: Number(stat.mtimeMs),
    read: (target, offset) => readWhole(readFully(handle, target, offset), target, offset, path),
    write: (bytes, offset) => withSpace(writeFully(handle, bytes, offset)),
    truncate: (size) => withSpace(handle.truncate(size)),
    sync: () => withSpace(handle.datasync()),
    currentSize: async () => (await handle.stat()).size,
    close: () => handle.close(),
  }
}

/** Writes bytes into a new file, with holes for the zeros among them. */
export async function writeWithHoles(target: FileTarget, bytes: Uint8Array, offset: number): Promise<void> {
  const write = (part: Uint8Array, at: number): Promise<void> => target.write(part, at)
  await writeSparsely({ write, zero: () => Promise.resolve() }, bytes, offset)
}

/** Makes a range of an existing file read as zeros, and writes only where it does not yet: holes stay holes. */
export async function ensureZero(target: FileTarget, start: number, end: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(1024 ** 2, Math.max(0, end - start)))
  const stop = Math.min(end, await target.currentSize())
  for (let at = start; at < stop; at += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, stop - at))
    await target.read(part, at)
    if (!isZero(part)) await target.write(part.fill(0), at)
  }
}
