import { printable } from '@disk-image/core'
import { delay } from '@disk-image/http'
import type { GlanceImage } from '../api/answers.ts'
import { ImageImportFailedError } from '../errors.ts'
import type { GlanceClient, ImageTask, ImportProgress, WaitForImportOptions } from './client-types.ts'

/**
 * Waits for an import's end. An image that goes back to `queued`, or names failed stores, will never be active:
 * its status alone does not tell.
 */
export async function waitForImport(
  client: Pick<GlanceClient, 'show' | 'tasks'>,
  imageId: string,
  options: WaitForImportOptions,
): Promise<GlanceImage> {
  const end = performance.now() + (options.timeoutMs ?? 3_600_000)
  let begun = false
  for (;;) {
    const image = await client.show(imageId, options)
    const progress = importProgress(image)
    options.onImportProgress?.(progress)
    const { status, failedStores, importingToStores } = progress
    const done = importingToStores.length === 0
    begun ||= status === 'importing' || status === 'active' || !done || failedStores.length > 0
    const tasks = await tasksOf(client, imageId, options)
    const task = status === 'active' ? undefined : tasks.find((one) => one.status === 'failure')
    // A copy to another store leaves the image active, and names its stores only when it begins.
    const busy = tasks.some((one) => one.status === 'pending' || one.status === 'processing')
    const failed = (reason: string): ImageImportFailedError =>
      new ImageImportFailedError({ imageId, reason: `${reason}${messageOf(task)}`, failedStores })
    if (status === 'killed' || status === 'deleted' || status === 'pending_delete') {
      throw failed(`the image is ${status}.`)
    }
    if (failedStores.length > 0 && !busy && (done || status === 'queued')) {
      throw failed(`it did not reach the store ${failedStores.join(', ')}; the image is ${status}.`)
    }
    const present = list(image.stores)
    const missing = (options.stores ?? []).filter((store) => !present.includes(store))
    if (status === 'active' && done && !busy && missing.length === 0) return image
    if (status === 'queued' && (begun || task !== undefined)) throw failed('the image is queued again.')
    if (performance.now() > end) throw failed(`it takes too long; the image is ${status}.`)
    await delay(options.intervalMs ?? 1000, options.signal)
  }
}

/** What an image's record tells about an import. */
function importProgress(image: GlanceImage): ImportProgress {
  return {
    status: image.status,
    importingToStores: list(image.os_glance_importing_to_stores),
    failedStores: list(image.os_glance_failed_import),
    size: image.size ?? undefined,
  }
}

function list(text: unknown): string[] {
  return typeof text === 'string' ? text.split(',').filter((part) => part !== '') : []
}

async function tasksOf(
  client: Pick<GlanceClient, 'tasks'>,
  imageId: string,
  options: WaitForImportOptions,
): Promise<readonly ImageTask[]> {
  try {
    return await client.tasks(imageId, options)
  } catch {
    // Older services have no tasks per image, and newer ones may not show them to everybody.
    options.signal?.throwIfAborted()
    return []
  }
}

function messageOf(task: ImageTask | undefined): string {
  return typeof task?.message === 'string' && task.message !== ''
    ? ` The service says: ${printable(task.message, 300)}`
    : ''
}
