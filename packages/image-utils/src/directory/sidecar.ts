import { lstat, rm, type FileHandle, open, rename } from 'node:fs/promises'
import path from 'node:path'
import {
  checkImageId,
  ImageNotFoundError,
  type ImageRecord,
  InvalidError,
  jsonDepth,
  recordProblem,
  type CallOptions,
  type UploadSource,
} from '@disk-image/core'
import { isTemporaryName, openSource, newTemporaryName, removeLeftovers, spaceError } from '@disk-image/host'
import { readFully, HashStream, syncFolder, writeFully } from '@disk-image/io'

/** Longest sidecar that is read: far above any real one, far below what hurts. */
const largestSidecar = 1024 * 1024
/** What is in the folder is a file there, never a way out of it. */
export const entryOfStore = { followLink: false, regularOnly: true } as const
/** Deeper than any property is. */
const deepestRecord = 32
const goodId = /^[0-9A-Za-z][0-9A-Za-z._-]{0,127}$/

/** The two files of an image in a folder: its record and its data. */
export class Sidecar {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** @throws {ImageNotFoundError} for an id that can't be one; no path ever comes out of it */
  recordPath(imageId: string): string {
    return path.join(this.#directory, `${checkId(imageId)}.json`)
  }

  /** @throws {ImageNotFoundError} for an id that can't be one */
  dataPath(imageId: string): string {
    return path.join(this.#directory, `${checkId(imageId)}.data`)
  }

  async read(imageId: string): Promise<ImageRecord> {
    const file = this.recordPath(imageId)
    let text: string
    try {
      text = await readRecord(file)
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
        throw new ImageNotFoundError({ imageId, cause })
      }
      throw cause
    }
    return parseRecord(text, imageId, file)
  }

  /** Replaces the record in one step: a reader sees the old one or the new one. */
  async write(record: ImageRecord): Promise<void> {
    const file = this.recordPath(record.id)
    let partial: PartialFile | undefined
    try {
      partial = await createPartial(file)
      try {
        await partial.handle.writeFile(`${JSON.stringify(record, null, 2)}\n`)
        await partial.handle.sync()
      } finally {
        await partial.handle.close()
      }
      await replaceWith(partial, file)
    } catch (error) {
      if (partial !== undefined) await rm(partial.path, { force: true }).catch(() => undefined)
      throw (await spaceError(error, { path: file, imageId: record.id })) ?? error
    }
  }

  /** @throws {InvalidError} where a folder is in the place of the data; nothing is removed then */
  async remove(imageId: string): Promise<void> {
    const data = this.dataPath(imageId)
    const found = await lstat(data).catch(() => undefined)
    if (found?.isDirectory() === true) {
      throw new InvalidError({ reason: `${data} is a folder, which no image has as its data: remove it.` })
    }
    await rm(this.recordPath(imageId))
    // No record is left without its data.
    await syncFolder(this.#directory)
    await rm(data, { force: true })
  }
}

/** A record is a regular file of a bounded length, whatever its size says: more is not read. */
async function readRecord(file: string): Promise<string> {
  const { handle, sizeBytes } = await openSource(file, entryOfStore)
  try {
    const buffer = Buffer.alloc(Math.min(sizeBytes, largestSidecar) + 1)
    const length = await readFully(handle, buffer, 0)
    if (length < buffer.length) return buffer.toString('utf8', 0, length)
    const why = sizeBytes > largestSidecar ? "is too large to be an image's record" : 'grew while it was read'
    throw new InvalidError({ reason: `${file} ${why}.` })
  } finally {
    await handle.close()
  }
}

function checkId(imageId: string): string {
  checkImageId(imageId)
  // A name that is made up for a file in the making is no image's.
  if (!goodId.test(imageId) || isTemporaryName(imageId) || imageId.endsWith('.partial'))
    throw new ImageNotFoundError({ imageId })
  return imageId
}

function parseRecord(text: string, imageId: string, file: string): ImageRecord {
  let value: unknown
  if (jsonDepth(text) > deepestRecord) {
    throw new InvalidError({ reason: `${file} is nested too deeply to be an image's record.` })
  }
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InvalidError({ reason: `${file} is not JSON: repair or remove that file.`, cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidError({ reason: `${file} does not describe an image: repair or remove that file.` })
  }
  const record = value as Partial<ImageRecord>
  const properties: unknown = record.properties ?? {}
  // A signature may be among them: what can't be read is not the same as none.
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) {
    throw new InvalidError({
      reason: `${file} has properties that are none: repair or remove that file.`,
    })
  }
  const checked = { ...record, id: imageId, properties: properties as ImageRecord['properties'] }
  const problem = recordProblem(checked)
  if (problem === undefined) return checked
  throw new InvalidError({
    reason: `${file} does not describe an image, ${problem}: repair or remove that file.`,
  })
}

/** What is recorded of an image's data. */
interface StoredData {
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
    if (partial !== undefined) await rm(partial.path, { force: true }).catch(() => undefined)
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
interface PartialFile {
  readonly path: string
  readonly handle: FileHandle
}

/** A new empty file beside the one that it becomes, open. Its name tells the process that writes it. */
async function createPartial(file: string): Promise<PartialFile> {
  const name = newTemporaryName({ prefix: `${path.basename(file)}.`, suffix })
  const partial = path.join(path.dirname(file), name)
  // What is written goes to the file that was made here, whatever becomes of its name.
  return { path: partial, handle: await open(partial, 'wx', 0o600) }
}

/** Gives it its name, in the place of what has it, and returns when the folder has that on the disk. */
async function replaceWith(partial: PartialFile, file: string): Promise<void> {
  await rename(partial.path, file)
  await syncFolder(path.dirname(file))
}

/** Removes what killed processes left in a folder, and leaves what running ones still write. */
export async function removePartials(directory: string): Promise<string[]> {
  const removed = await removeLeftovers({ directory, suffix })
  return removed.map(({ path: file }) => file)
}
