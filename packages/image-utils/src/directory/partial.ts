import path from 'node:path'
import { createTemporaryFiles, removeLeftovers } from '@disk-image/host'

const suffix = '.partial'

/** A new empty file beside the one that it becomes. Its name tells the process that writes it. */
export function createPartial(file: string): Promise<string> {
  const folder = createTemporaryFiles({ directory: path.dirname(file) })
  return folder.createFile({ prefix: `${path.basename(file)}.`, suffix })
}

/** Removes what killed processes left in a folder, and leaves what running ones still write. */
export async function removePartials(directory: string): Promise<string[]> {
  const removed = await removeLeftovers({ directory, suffix })
  return removed.map(({ path: file }) => file)
}
