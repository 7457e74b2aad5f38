import { constants } from 'node:fs'
import { access, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { InvalidError, type ProcessRunner } from '@disk-image/core'
import { type HeldFile, holdFile, isHeldPath } from './files/hold-file.ts'

/** Options of {@link chownIfNeeded}. */
export interface ChownOptions {
  /** Runs `chown` with `asRoot`. */
  readonly runner: ProcessRunner
  /** What the caller wants to do with the file. @default 'read' */
  readonly access?: 'read' | 'write' | undefined
  /** The user that shall own it. @default the process's own */
  readonly userId?: number | undefined
  /** Looks at the file, by the path of a handle that is held on it. @default asks the kernel */
  readonly look?: ((file: string, access: 'read' | 'write') => Promise<FileOwnership>) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Whether this process may use a file, and whose it is. */
export interface FileOwnership {
  readonly accessible: boolean
  readonly ownerId: number
}

/**
 * Makes a file or device accessible to this process, where it isn't, by changing its owner through the root
 * helper. Disposing the handle gives it back. Where nothing was changed, disposing does nothing.
 *
 * What was looked at is what changes hands, and what is given back, whatever takes its name meanwhile. No link is
 * followed but those that volume managers make in `/dev`, and the path of a file that this process holds.
 *
 * @throws {InvalidError} for a link, and for what is no regular file or block device
 * @throws {ProcessExecutionError} where `chown` fails, on either way
 * @see cinder.image.image_utils.temporary_chown
 */
export async function chownIfNeeded(name: string, options: ChownOptions): Promise<AsyncDisposable> {
  const file = path.resolve(name)
  const nothing: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() }
  const held = await holdToChown(file)
  let changed = false
  try {
    const { accessible, ownerId } = await (options.look ?? look)(held.path, options.access ?? 'read')
    const userId = options.userId ?? process.getuid?.() ?? 0
    if (accessible || ownerId === userId) return nothing
    const chown = async (user: number, signal?: AbortSignal): Promise<void> => {
      await options.runner.run({ file: 'chown', args: [String(user), held.path] }, { asRoot: true, signal })
    }
    await chown(userId, options.signal)
    changed = true
    const giveBack = async (): Promise<void> => {
      try {
        // Not bound to the signal: an abort must not leave the file with the wrong owner.
        await chown(ownerId)
      } finally {
        await held[Symbol.asyncDispose]()
      }
    }
    let back: Promise<void> | undefined
    return {
      [Symbol.asyncDispose]: () => {
        back ??= giveBack()
        return back
      },
    }
  } finally {
    if (!changed) await held[Symbol.asyncDispose]()
  }
}

/**
 * Holds what the root helper may be asked to give to this process: no link leads it to another file.
 *
 * @throws {InvalidError} as {@link chownIfNeeded} does
 */
export async function holdToChown(name: string): Promise<HeldFile> {
  const file = path.resolve(name)
  const isDevice = await isDeviceName(file)
  const held = await holdFile(file, { followLink: isDevice || isHeldPath(file) })
  if (!isDevice || held.kind === 'block-device') return held
  await held[Symbol.asyncDispose]()
  throw new InvalidError({ reason: `${file} is no block device.` })
}

/** Nobody but root makes names in /dev; in /dev/shm everybody does. */
async function isDeviceName(file: string): Promise<boolean> {
  const folder = `${await realpath(path.dirname(file))}/`
  return folder.startsWith('/dev/') && !folder.startsWith('/dev/shm/')
}

async function look(file: string, wanted: 'read' | 'write'): Promise<FileOwnership> {
  const { uid: ownerId } = await stat(file)
  const mode = wanted === 'write' ? constants.R_OK | constants.W_OK : constants.R_OK
  try {
    await access(file, mode)
    return { accessible: true, ownerId }
  } catch {
    return { accessible: false, ownerId }
  }
}
