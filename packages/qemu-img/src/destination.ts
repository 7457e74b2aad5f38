import { InvalidError } from '@disk-image/core'
import { lstat, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { kindOf, type QemuImgCallOptions, type QemuImgContext } from './context.ts'

/**
 * A missing node under `/dev` is no place for a file: the volume isn't attached. Anything but a file or a
 * block device would be filled, or waited for, to no end.
 *
 * @throws {InvalidError} where it is so
 */
export async function checkDestination(
  context: QemuImgContext,
  path: string,
  { asRoot, signal }: QemuImgCallOptions,
): Promise<void> {
  const kind = await kindOf(path)
  if (kind === 'other') throw new InvalidError({ reason: `${path} is neither a file nor a block device` })
  // A file would be made wherever it leads.
  if (kind === 'missing' && (await isLink(path))) {
    throw new InvalidError({ reason: `${path} is a link to something that does not exist` })
  }
  const folder = await realpath(dirname(path)).catch(() => dirname(path))
  if (!/^\/dev(\/(?!shm\/)|$)/.test(join(folder, basename(path)))) return
  const missing = kind === 'missing' || (kind === 'hidden' && !(await isThere(context, path, asRoot, signal)))
  if (missing) {
    const reason = `There is no device ${path}. Writing there would create a regular file in RAM.`
    throw new InvalidError({ reason })
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink()
  } catch {
    return false
  }
}

async function isThere(
  context: QemuImgContext,
  path: string,
  asRoot: boolean | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await context.runner.run({ file: 'test', args: ['-b', path] }, { asRoot, signal, timeoutMs: 30_000 })
    return true
  } catch {
    signal?.throwIfAborted()
    return false
  }
}
