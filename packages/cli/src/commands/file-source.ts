import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { InvalidError, type Target, type UploadSource } from '@disk-image/core'
import { allocateBuffer, writeFully } from '@disk-image/io'
import type { HeldFile } from '@disk-image/host'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'

const chunkBytes = 1024 * 1024
const standardInput = new Set(['-', '/dev/stdin', '/dev/fd/0', '/proc/self/fd/0'])
/** What a shell hands over instead of a file's name: `<(…)`. */
const descriptor = /^\/(?:dev|proc\/self)\/fd\/(\d{1,6})$/

/** Whether a word is one of the names of standard input. */
export function isStandardInput(name: string): boolean {
  return standardInput.has(name)
}

/**
 * The absolute path of a file that is not read from its start to its end.
 *
 * @throws {UsageError} for `-`
 */
export function resolveOperand(session: Session, name: string): string {
  if (name !== '-') return session.resolve(name)
  throw new UsageError('Standard input can only be read once, and this command needs a file: save it first.')
}

/**
 * Holds the file or block device that a command is about, by whatever name it was given.
 *
 * @throws {UsageError} for `-`, a pipe, a socket, a terminal or a folder
 */
export async function holdOperand(session: Session, name: string): Promise<HeldFile> {
  const file = resolveOperand(session, name)
  const { holdFile } = await import('@disk-image/host')
  try {
    return await holdFile(file)
  } catch (error) {
    throw error instanceof InvalidError ? new UsageError(error.message) : error
  }
}

/**
 * Where a command writes, absolute.
 *
 * @throws {UsageError} for `-`: holes, and a head that is written last, can't go to standard output
 */
export function resolveDestination(session: Session, name: string): string {
  if (name !== '-') return session.resolve(name)
  throw new UsageError('Several disks are not written to standard output: give files or block devices.')
}

/** Where one disk goes: a path, or with `-` standard output, which takes it from its start to its end. */
export interface Destination {
  /** Absolute, or what a report calls it. */
  readonly volume: string
  readonly target?: Target | undefined
}

/** @throws {UsageError} for `-` where standard output is a terminal, or is not there */
export function openDestination(session: Session, name: string): Destination {
  if (name !== '-') return { volume: session.resolve(name) }
  const { io } = session
  if (io.stdout.isTTY === true) {
    throw new UsageError('Standard output is a terminal: send it to a file or a pipe, or give a file.')
  }
  if (io.takeOutput === undefined) throw new UsageError('There is no standard output here.')
  return { volume: 'standard output', target: outputTarget(io.takeOutput()) }
}

/** What is written can't be taken back: the exit code says whether it is whole. */
function outputTarget(take: (bytes: Uint8Array) => Promise<void>): Target {
  const zeros = allocateBuffer(chunkBytes)
  let position = 0
  const write = async (bytes: Uint8Array): Promise<void> => {
    try {
      await take(bytes)
    } catch (cause) {
      throw new InvalidError({ reason: 'Whoever read standard output has gone.', cause })
    }
    position += bytes.length
  }
  const zero = async (_offset: number, length: number): Promise<void> => {
    for (let left = length; left > 0; left -= zeros.length) {
      await write(zeros.subarray(0, Math.min(left, zeros.length)))
    }
  }
  const abandon = (): Promise<void> => Promise.resolve()
  return {
    write,
    zero,
    commit: (sizeBytes) => zero(position, sizeBytes - position),
    abandon,
    [Symbol.asyncDispose]: abandon,
  }
}

/** A file whose bytes are uploaded. */
export interface UploadFile extends AsyncDisposable {
  /** Leads to the very bytes that are uploaded. */
  readonly path: string
  readonly data: UploadSource
}

/**
 * Opens what is uploaded: a regular file, or with `-`, `/dev/stdin` or `<(…)` a stream, which goes into a temporary
 * file first. It can be read again from its start, and ends where it ended when it was opened: what is appended
 * meanwhile is not part of it.
 *
 * @throws {UsageError} for a block device, a named pipe, a socket, a terminal or a folder
 */
export async function openUploadFile(session: Session, name: string): Promise<UploadFile> {
  const stream = await openStream(session, name)
  if (stream !== undefined) {
    if (standardInput.has(name) && isatty(0)) {
      throw new UsageError('Standard input is a terminal; give a file, or a pipe.')
    }
    return spool(session, stream)
  }
  const held = await holdOperand(session, name)
  try {
    if (held.kind !== 'file') {
      throw new UsageError(`${held.name} is no regular file; a block device goes with: disk-image upload.`)
    }
    const handle = await held.open()
    const close = async (): Promise<void> => {
      await handle.close()
      await held[Symbol.asyncDispose]()
    }
    return { path: held.path, data: dataOf(handle, held.sizeBytes), [Symbol.asyncDispose]: close }
  } catch (error) {
    await held[Symbol.asyncDispose]()
    throw error
  }
}

function dataOf(handle: FileHandle, size: number): UploadSource {
  return {
    size,
    async *open() {
      let offset = 0
      while (offset < size) {
        const chunk = allocateBuffer(Math.min(chunkBytes, size - offset))
        const { bytesRead } = await handle.read(chunk, 0, chunk.length, offset)
        if (bytesRead === 0) return
        offset += bytesRead
        yield chunk.subarray(0, bytesRead)
      }
    },
  }
}

/**
 * A text that is read from its start to its end: a regular file, or a stream as {@link openUploadFile} takes it.
 *
 * @throws {UsageError} for a named pipe, a device, a socket, a terminal or a folder
 */
export async function* readInput(session: Session, name: string): AsyncGenerator<Uint8Array> {
  const stream = await openStream(session, name)
  if (stream !== undefined) {
    yield* stream
    return
  }
  await using held = await holdOperand(session, name)
  if (held.kind !== 'file') throw new UsageError(`${held.name} is no regular file.`)
  const handle = await held.open()
  try {
    const chunk = allocateBuffer(64 * 1024)
    for (;;) {
      session.io.signal.throwIfAborted()
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) return
      yield chunk.slice(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

/** The stream that a name stands for; undefined where it is a file's name. */
export async function openStream(
  session: Session,
  name: string,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  if (standardInput.has(name)) {
    if (session.io.stdin === undefined) throw new UsageError('There is no standard input here.')
    return session.io.stdin()
  }
  if (!descriptor.test(name)) return undefined
  const found = await stat(name)
  return found.isFIFO() ? readPipe(name, session.io.signal) : undefined
}

/** Reads a pipe that somebody else writes to. It never waits inside of a read: that could not be ended. */
async function* readPipe(name: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const handle = await open(name, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const chunk = allocateBuffer(64 * 1024)
    for (let waitMs = 1; ;) {
      signal.throwIfAborted()
      const bytesRead = await readNow(handle, chunk)
      if (bytesRead === 0) return
      if (bytesRead === undefined) {
        await delay(waitMs, undefined, { signal })
        waitMs = Math.min(waitMs * 2, 50)
        continue
      }
      waitMs = 1
      yield chunk.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

/** @returns undefined where there is nothing yet, 0 at the end */
async function readNow(handle: FileHandle, chunk: Uint8Array): Promise<number | undefined> {
  try {
    return (await handle.read(chunk, 0, chunk.length, null)).bytesRead
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined
    throw error
  }
}

/** A stream as a temporary file: its size is known then, it can be judged, and sent again. */
async function spool(session: Session, stream: AsyncIterable<Uint8Array>): Promise<UploadFile> {
  const imageUtils = await session.imageUtils()
  const temporary = await imageUtils.temporaryFile({ prefix: 'stdin_' })
  try {
    const handle = await open(temporary.path, constants.O_RDWR | constants.O_NOFOLLOW)
    const close = async (): Promise<void> => {
      await handle.close()
      await temporary[Symbol.asyncDispose]()
    }
    try {
      let size = 0
      for await (const bytes of stream) {
        session.io.signal.throwIfAborted()
        await writeFully(handle, bytes, size)
        size += bytes.length
      }
      return { path: temporary.path, data: dataOf(handle, size), [Symbol.asyncDispose]: close }
    } catch (error) {
      await handle.close()
      throw error
    }
  } catch (error) {
    await temporary[Symbol.asyncDispose]()
    const { spaceError } = await import('@disk-image/host')
    throw (await spaceError(error, { path: temporary.path, imageId: 'on standard input' })) ?? error
  }
}
