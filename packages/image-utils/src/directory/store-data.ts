import { rm } from 'node:fs/promises'
import path from 'node:path'
import { type CallOptions, InvalidError, type UploadSource } from '@disk-image/core'
import { spaceError } from '@disk-image/host'
import { HashStream, writeFully } from '@disk-image/io'
import { createPartial, type PartialFile, replaceWith } from './partial.ts'

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
