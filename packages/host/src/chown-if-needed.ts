import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import path from 'node:path'
import type { ProcessRunner } from '@disk-image/core'

/** Options of {@link chownIfNeeded}. */
export interface ChownOptions {
  /** Runs `chown` with `asRoot`. */
  readonly runner: ProcessRunner
  /** What the caller wants to do with the file. @default 'read' */
  readonly access?: 'read' | 'write' | undefined
  /** The user that shall own it. @default the process's own */
  readonly userId?: number | undefined
  /** Looks at the file. @default asks the kernel */
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
 * @throws {ProcessExecutionError} where `chown` fails, on either way
 * @see cinder.image.image_utils.temporary_chown
 */
export async function chownIfNeeded(name: string, options: ChownOptions): Promise<AsyncDisposable> {
  const file = path.resolve(name)
  const nothing: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() }
  const { accessible, ownerId } = await (options.look ?? look)(file, options.access ?? 'read')
  const userId = options.userId ?? process.getuid?.() ?? 0
  if (accessible || ownerId === userId) return nothing
  const chown = async (user: number, signal?: AbortSignal): Promise<void> => {
    await options.runner.run({ file: 'chown', args: [String(user), file] }, { asRoot: true, signal })
  }
  await chown(userId, options.signal)
  let back: Promise<void> | undefined
  return {
    [Symbol.asyncDispose]: () => {
      // Not bound to the signal: an abort must not leave the file with the wrong owner.
      back ??= chown(ownerId)
      return back
    },
  }
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
