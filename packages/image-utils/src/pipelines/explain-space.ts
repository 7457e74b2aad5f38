import path from 'node:path'
import { formatBytes, ImageTooBigError, ProcessExecutionError } from '@disk-image/core'
import { freeSpace } from '@disk-image/host'

/** What a tool was writing, for the error's words. */
export interface ToolWrite {
  readonly destination: string
  readonly imageId: string
  /** Bytes of the disk, where known. */
  readonly virtualSizeBytes?: number | undefined
}

/**
 * A full disk while a tool writes is an image that is too big, with the folder and the figures. Every other
 * error is returned as it is.
 */
export async function explainSpace(error: unknown, write: ToolWrite): Promise<unknown> {
  if (!(error instanceof ProcessExecutionError) || !/no space left on device/i.test(error.stderr)) {
    return error
  }
  const folder = path.dirname(write.destination)
  const free = await freeSpace(folder).catch(() => 0)
  const needed =
    write.virtualSizeBytes === undefined ? '' : `the disk has ${formatBytes(write.virtualSizeBytes)}, `
  return new ImageTooBigError({
    imageId: write.imageId,
    reason: `There is no space left in ${folder}: ${needed}${formatBytes(free)} are free.`,
    cause: error,
  })
}
