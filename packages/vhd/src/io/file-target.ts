import { constants } from 'node:fs'
import { readFully, writeFully } from '@disk-image/io'
import { VhdError } from '../errors/vhd-error.ts'
import { openWithoutWaiting, readWhole, type ByteSource } from './byte-source.ts'

/** A file that is written in place. Every write is whole or the call fails. */
export interface FileTarget extends ByteSource {
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
 * Opens an existing regular file for reading and writing.
 *
 * @throws {VhdError} rule `not-a-file`
 */
export async function openTarget(path: string, flags: number = constants.O_RDWR): Promise<FileTarget> {
  const handle = await openWithoutWaiting(path, flags, 0o600)
  const stat = await handle.stat({ bigint: true })
  if (!stat.isFile()) {
    await handle.close()
    throw new VhdError({ path, rule: 'not-a-file', reason: 'it is not a regular file' })
  }
  return {
    size: Number(stat.size),
    path,
    identity: `${stat.dev}:${stat.ino}`,
    modifiedMs: Number(stat.mtimeMs),
    read: (target, offset) => readWhole(readFully(handle, target, offset), target, offset, path),
    write: (bytes, offset) => writeFully(handle, bytes, offset),
    truncate: (size) => handle.truncate(size),
    sync: () => handle.datasync(),
    currentSize: async () => (await handle.stat()).size,
    close: () => handle.close(),
  }
}

/** Makes a new file, mode 0600; it must not exist. */
export function createTarget(path: string): Promise<FileTarget> {
  return openTarget(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW)
}
