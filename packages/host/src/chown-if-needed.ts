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
  readonly signal?: AbortSignal | undefined
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
  const mode = options.access === 'write' ? constants.R_OK | constants.W_OK : constants.R_OK
  const allowed = await access(file, mode).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw error
      return false
    },
  )
  if (allowed) return nothing
  const { uid: owner } = await stat(file)
  const userId = options.userId ?? process.getuid?.() ?? 0
  if (owner === userId) return nothing
  const chown = async (user: number, signal?: AbortSignal): Promise<void> => {
    await options.runner.run({ file: 'chown', args: [String(user), file] }, { asRoot: true, signal })
  }
  await chown(userId, options.signal)
  let back: Promise<void> | undefined
  return {
    [Symbol.asyncDispose]: () => {
      // Not bound to the signal: an abort must not leave the file with the wrong owner.
      back ??= chown(owner)
      return back
    },
  }
}
