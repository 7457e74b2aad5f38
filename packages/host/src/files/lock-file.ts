import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

/** What {@link tryLock} came to. */
export type LockAttempt = 'busy' | 'not-possible' | { readonly lock: AsyncDisposable }

/**
 * Locks a file or device as a whole (flock): whoever else asks for that is refused until it is disposed, or until this
 * process has ended and the kernel is done with its last write. It holds on one machine, and between those that share
 * an NFS.
 *
 * Node.js can't lock; but a lock belongs to the open file, and so it may be taken by a child, util-linux's `flock`.
 *
 * @see flock(2)
 */
export async function tryLock(file: string): Promise<LockAttempt> {
  const handle = await openToLock(file)
  if (handle === undefined) return 'not-possible'
  const child = spawn('flock', ['-x', '-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', handle.fd] })
  const code = await once(child, 'exit').then(
    ([exitCode]: unknown[]) => exitCode,
    () => undefined,
  )
  if (code === 0) return { lock: { [Symbol.asyncDispose]: () => handle.close() } }
  await handle.close()
  return code === 1 ? 'busy' : 'not-possible'
}

/** NFS wants it open for writing; of a device the end of that would wake whoever looks for changes. */
async function openToLock(file: string): Promise<FileHandle | undefined> {
  const flags = constants.O_NONBLOCK | constants.O_NOCTTY
  const handle = await open(file, constants.O_RDONLY | flags).catch(() => undefined)
  if (handle === undefined || (await handle.stat()).isBlockDevice()) return handle
  const writable = await open(file, constants.O_RDWR | flags).catch(() => undefined)
  if (writable === undefined) return handle
  await handle.close()
  return writable
}
