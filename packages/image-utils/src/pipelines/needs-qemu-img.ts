import { ProcessExecutionError } from '@disk-image/core'
import type { Toolbox } from '../dependencies.ts'
import { isReadByUs } from '../operations/drivers.ts'
import type { Job } from './job.ts'

/**
 * Whether qemu-img will have to read or write the disk, as far as that is known.
 *
 * @param format in qemu-img's terms; undefined where nothing is known of it yet
 */
export function needsQemuImg(job: Job, format: string | undefined): boolean {
  if (job.volumeFormat !== 'raw' || job.throughTool) return true
  if (job.wrapping === 'xenserver' || format === undefined) return false
  if (format === 'qcow2') return job.strict || job.request.disableSparse === true
  // An encrypted container is carried as raw bytes.
  return format !== 'raw' && format !== 'luks' && asksQemuImg(job, format)
}

/**
 * Whether qemu-img is asked what it makes of a disk before it is written. Of what our own readers read it is not; but
 * Cinder's functions ask it about VMDK, VDI and Parallels all the same, as the original does.
 */
export function asksQemuImg({ asCinder }: Pick<Job, 'asCinder'>, format: string): boolean {
  return !isReadByUs(format) || (asCinder && format !== 'vpc' && format !== 'vhdx')
}

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
