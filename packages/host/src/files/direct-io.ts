import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import type { ProcessRunner } from '@disk-image/core'

/** Options of {@link supportsDirectIo}. */
export interface DirectIoOptions {
  /** Used with `asRoot` for what this user may not open: `dd` opens it, and moves no byte. */
  readonly runner?: ProcessRunner | undefined
  readonly asRoot?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Whether a file or device can be opened for writing with O_DIRECT. It is really opened, neither read nor
 * written, never made and never cut. False where it does not exist.
 *
 * @see cinder.volume.volume_utils.check_for_odirect_support
 */
export async function supportsDirectIo(name: string, options: DirectIoOptions = {}): Promise<boolean> {
  const direct = constants.O_DIRECT as number | undefined
  if (direct === undefined) return false
  try {
    const handle = await open(name, constants.O_WRONLY | direct)
    await handle.close()
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (options.asRoot !== true || options.runner === undefined) return false
    if (code !== 'EACCES' && code !== 'EPERM') return false
  }
  try {
    const args = [
      'count=0',
      'if=/dev/zero',
      `of=${path.resolve(name)}`,
      'oflag=direct',
      'conv=notrunc,nocreat',
    ]
    await options.runner.run(
      { file: 'dd', args },
      { asRoot: true, signal: options.signal, timeoutMs: 30_000 },
    )
    return true
  } catch {
    options.signal?.throwIfAborted()
    return false
  }
}
