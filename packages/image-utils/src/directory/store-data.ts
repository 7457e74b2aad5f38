import path from 'node:path'
import { type CallOptions, InvalidError, type UploadSource } from '@disk-image/core'
import { newTemporaryName, removeLeftovers, spaceError } from '@disk-image/host'
import { HashStream, writeFully } from '@disk-image/io'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'

/** What is recorded of an image's data. */
export interface StoredData {
  readonly size: number
  readonly os_hash_algo: 'sha512'
  readonly os_hash_value: string
}

/**
 * Puts an image's bytes into a file, hashed on the way. The file appears only when it is whole: an upload
 * that breaks leaves nothing.
 */
export async function storeData(
  file: string,
  source: UploadSource,
  options: CallOptions,
): Promise<StoredData> {
  const hash = new HashStream(['sha512'])
  let partial: PartialFile | undefined
  try {
    partial = await createPartial(file)
    const { handle } = partial
    let size = 0
    try {
      for await (const chunk of source.open()) {
        options.signal?.throwIfAborted()
        await Promise.all([hash.write(chunk), writeFully(handle, chunk, size)])
        size += chunk.length
        options.onProgress?.({ stage: 'upload', completed: size, total: source.size, unit: 'bytes' })
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (source.size !== undefined && source.size !== size) {
      throw new InvalidError({ reason: `The data had ${size} bytes where ${source.size} were announced.` })
    }
    const [digest = ''] = await hash.finish()
    await replaceWith(partial, file)
    return { size, os_hash_algo: 'sha512', os_hash_value: digest }
  } catch (error) {
    if (partial !== undefined) await rm(partial.path, { force: true })
    throw (
      (await spaceError(error, {
        path: file,
        neededBytes: source.size,
        imageId: path.basename(file, '.data'),
      })) ?? error
    )
  } finally {
    await hash.close()
  }
}

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
