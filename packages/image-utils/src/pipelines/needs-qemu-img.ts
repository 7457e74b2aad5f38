import { ProcessExecutionError } from '@disk-image/core'
import type { Toolbox } from '../dependencies.ts'

/**
 * Notices a missing qemu-img before anything is downloaded for it. Whatever else may be wrong with it, the call that
 * needs it tells best.
 *
 * @throws {ProcessExecutionError} where it is not installed
 */
export async function checkQemuImg(
  toolbox: Pick<Toolbox, 'qemuImg'>,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await toolbox.qemuImg.version(signal)
  } catch (error) {
    if (error instanceof ProcessExecutionError && error.endReason === 'not-installed') throw error
    signal?.throwIfAborted()
  }
}
