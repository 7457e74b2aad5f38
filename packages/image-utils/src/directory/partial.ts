import { type FileHandle, open, rename } from 'node:fs/promises'
import path from 'node:path'
import { newTemporaryName, removeLeftovers } from '@disk-image/host'

const suffix = '.partial'

/** A file that is being written, beside the one that it becomes. */
export interface PartialFile {
  readonly path: string
  readonly handle: FileHandle
}

/** A new empty file beside the one that it becomes, open. Its name tells the process that writes it. */
export async function createPartial(file: string): Promise<PartialFile> {
  const name = newTemporaryName({ prefix: `${path.basename(file)}.`, suffix })
  const partial = path.join(path.dirname(file), name)
  // What is written goes to the file that was made here, whatever becomes of its name.
  return { path: partial, handle: await open(partial, 'wx', 0o600) }
}

/** Gives it its name, in the place of what has it, and returns when the folder has that on the disk. */
export async function replaceWith(partial: PartialFile, file: string): Promise<void> {
  await rename(partial.path, file)
  const folder = await open(path.dirname(file), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Removes what killed processes left in a folder, and leaves what running ones still write. */
export async function removePartials(directory: string): Promise<string[]> {
  const removed = await removeLeftovers({ directory, suffix })
  return removed.map(({ path: file }) => file)
}
