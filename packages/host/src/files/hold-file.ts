import { constants, type Stats } from 'node:fs'
import { open, stat, type FileHandle } from 'node:fs/promises'
import { ImageError, InvalidError } from '@disk-image/core'
import { blockDeviceSize } from './block-device.ts'

/** The handle only names the file: nothing is read, woken or waited for. @see open(2), O_PATH; Node.js has no name for it */
export const pathOnly = 0o10_000_000

/** Whether a path is one that {@link heldFile} gives: it leads to an open file, not to a name. */
export function isHeldPath(name: string): boolean {
  return /^\/proc\/(?:self|\d+)\/fd\/\d+$/.test(name)
}

/** Options of {@link holdFile}. */
export interface HoldOptions {
  /** Whether the name itself may be a link; folders before it may always be links. @default true */
  readonly followLink?: boolean | undefined
  /** Whether a block device is refused too. @default false */
  readonly regularOnly?: boolean | undefined
}

/** A regular file or block device that stays the same one whatever happens to its name. Dispose it. */
export interface HeldFile extends AsyncDisposable {
  /** Leads to this very file, in this process and in its children, for as long as it is held. */
  readonly path: string
  /** The name that it was found by. */
  readonly name: string
  readonly kind: 'file' | 'block-device'
  /** Bytes now. */
  readonly sizeBytes: number
  /** Opens it for reading, or as the flags say; never waits for another process. */
  open(flags?: number): Promise<FileHandle>
  /** The same text as before for as long as nobody has written to it, nor changed its owner or mode. */
  stamp(): Promise<string>
}

/**
 * Looks a name up once, and holds what is there. A link is followed here for the last time: whoever looks at `path`
 * and whoever reads it afterwards, a tool included, has the same file.
 *
 * @throws {InvalidError} for a pipe, a socket, a terminal, a folder, and where it is not to be followed a link
 */
export async function holdFile(name: string, options: HoldOptions = {}): Promise<HeldFile> {
  const handle = await open(name, pathOnly | (options.followLink === false ? constants.O_NOFOLLOW : 0))
  try {
    return await heldFile(handle, name, options)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Holds what a handle is open on. The handle is closed with it.
 *
 * @throws {InvalidError} as {@link holdFile} does
 */
export async function heldFile(
  handle: FileHandle,
  name: string,
  { regularOnly = false }: Pick<HoldOptions, 'regularOnly'> = {},
): Promise<HeldFile> {
  const found = await handle.stat()
  if (!found.isFile() && (regularOnly || !found.isBlockDevice())) {
    const needed = regularOnly ? 'a regular file' : 'a regular file or a block device'
    throw new InvalidError({ reason: `${name} is ${fileKind(found)}; it must be ${needed}.` })
  }
  const path = `/proc/${process.pid}/fd/${handle.fd}`
  if (found.isFile() && found.size === 0 && (await hasUncountedBytes(path))) {
    throw new InvalidError({
      reason: `${name} is made when it is read, and has no size: save what is in it as a file.`,
    })
  }
  let closed: Promise<void> | undefined
  return {
    path,
    name,
    kind: found.isFile() ? 'file' : 'block-device',
    sizeBytes: found.isFile() ? found.size : await blockDeviceSize(path),
    open: (flags = constants.O_RDONLY) => open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY),
    stamp: () => stamp(path),
    [Symbol.asyncDispose]: () => {
      // Nothing was written through it that could be lost.
      closed ??= handle.close().catch(() => undefined)
      return closed
    },
  }
}

/** Whether a file of no size has bytes, as many in /proc have. Nothing can be told of one that can't be opened. */
async function hasUncountedBytes(path: string): Promise<boolean> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined)
  if (handle === undefined) return false
  try {
    // Some give nothing less than a record.
    const { bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0)
    // Somebody may have begun to write it meanwhile.
    return bytesRead > 0 && (await handle.stat()).size === 0
  } catch {
    // An empty file has no byte that can't be read.
    return true
  } finally {
    await handle.close()
  }
}

/** The time of the last change can't be set back. A device has none. */
async function stamp(path: string): Promise<string> {
  const found = await stat(path, { bigint: true })
  if (!found.isFile()) return ''
  return [found.size, found.mtimeNs, found.ctimeNs].join(':')
}

/** A regular file or block device that is open for reading. */
export interface OpenSource {
  readonly handle: FileHandle
  readonly kind: HeldFile['kind']
  readonly sizeBytes: number
}

/**
 * Opens a source for reading, without ever waiting for another process.
 *
 * @throws {InvalidError} as {@link holdFile} does
 */
export async function openSource(name: string, options: HoldOptions = {}): Promise<OpenSource> {
  await using held = await holdFile(name, options)
  return { handle: await held.open(), kind: held.kind, sizeBytes: held.sizeBytes }
}

/** Has an error of ours call a held file by its name. Its texts are its own: nobody else has them yet. */
export function renameInError(error: unknown, { path, name }: Pick<HeldFile, 'name' | 'path'>): void {
  if (!ImageError.is(error) || path === name) return
  const renamed = (value: unknown): unknown =>
    typeof value === 'string'
      ? value.replaceAll(path, name)
      : Array.isArray(value)
        ? value.map(renamed)
        : value
  for (const key of Object.getOwnPropertyNames(error)) {
    const value: unknown = Reflect.get(error, key)
    if (typeof value === 'string' || Array.isArray(value)) Reflect.set(error, key, renamed(value))
  }
}

/** What a name leads to, in words that go behind "is". */
export function fileKind(found: Stats): string {
  if (found.isFile()) return 'a regular file'
  if (found.isBlockDevice()) return 'a block device'
  if (found.isDirectory()) return 'a folder'
  if (found.isFIFO()) return 'a pipe'
  if (found.isSocket()) return 'a socket'
  if (found.isSymbolicLink()) return 'a link'
  if (found.isCharacterDevice()) return 'a character device, such as a terminal'
  return 'something else'
}
