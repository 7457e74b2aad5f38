import { mkdirSync, statSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import path from 'node:path'

/**
 * Keeps compiled code from one command to the next, which saves a command some 40 ms. Without a safe folder for it,
 * and with Node's own NODE_DISABLE_COMPILE_CACHE, nothing is kept.
 */
export function keepCompiledCode(environment: NodeJS.ProcessEnv): void {
  // Whoever names a folder to Node.js has Node's own way.
  const { NODE_COMPILE_CACHE: named, NODE_DISABLE_COMPILE_CACHE: disabled } = environment
  if (named !== undefined || disabled !== undefined) return
  const folder = compileCacheFolder(environment, process.getuid?.())
  if (folder !== undefined) enableCompileCache(folder)
}

/**
 * The folder for compiled code: `disk-image` in the user's cache folder, made where it is missing. What lies there
 * is run without a look, so it must be the user's own, and nobody else's to write; with sudo, for example, HOME may
 * still be somebody else's.
 *
 * @returns undefined where there is no such folder
 * @see https://specifications.freedesktop.org/basedir-spec/latest/
 */
export function compileCacheFolder(
  environment: NodeJS.ProcessEnv,
  userId: number | undefined,
): string | undefined {
  const { XDG_CACHE_HOME: cache, HOME: home } = environment
  if (userId === undefined) return undefined
  const steps =
    cache !== undefined && path.isAbsolute(cache)
      ? [cache, path.join(cache, 'disk-image')]
      : home !== undefined && path.isAbsolute(home)
        ? [home, path.join(home, '.cache'), path.join(home, '.cache/disk-image')]
        : []
  const [base, ...below] = steps
  if (base === undefined || !isOwn(base, userId)) return undefined
  return below.every((folder) => isOwn(folder, userId) || (make(folder) && isOwn(folder, userId)))
    ? below.at(-1)
    : undefined
}

/** Whether it is a folder that this user owns and nobody else may write. */
function isOwn(folder: string, userId: number): boolean {
  const found = statSync(folder, { throwIfNoEntry: false })
  return found !== undefined && found.isDirectory() && found.uid === userId && (found.mode & 0o022) === 0
}

function make(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 })
    return true
  } catch {
    // It is there and not the user's own, or may not be made: then nothing is kept.
    return false
  }
}
