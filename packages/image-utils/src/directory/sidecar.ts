import { open, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { ImageNotFoundError, type ImageRecord, InvalidError } from '@disk-image/core'
import { createPartial } from './partial.ts'

/** Longest sidecar that is read: far above any real one, far below what hurts. */
const largestSidecar = 1024 * 1024
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
      const handle = await open(file, 'r')
      try {
        const { size } = await handle.stat()
        if (size > largestSidecar)
          throw new InvalidError({ reason: `${file} is too large to be an image's record.` })
        text = await readFile(handle, 'utf8')
      } finally {
        await handle.close()
      }
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
    const partial = await createPartial(file)
    try {
      const handle = await open(partial, 'r+')
      try {
        await handle.writeFile(`${JSON.stringify(record, null, 2)}\n`)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(partial, file)
    } catch (error) {
      await rm(partial, { force: true })
      throw error
    }
  }

  async remove(imageId: string): Promise<void> {
    await rm(this.recordPath(imageId))
    await rm(this.dataPath(imageId), { force: true })
  }
}

function checkId(imageId: string): string {
  if (!goodId.test(imageId)) throw new ImageNotFoundError({ imageId })
  return imageId
}

function parseRecord(text: string, imageId: string, file: string): ImageRecord {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InvalidError({ reason: `${file} is not JSON: repair it, or delete the image.`, cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidError({ reason: `${file} does not describe an image: repair it, or delete the image.` })
  }
  const record = value as Partial<ImageRecord>
  const properties: unknown = record.properties ?? {}
  // A signature may be among them: what can't be read is not the same as none.
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) {
    throw new InvalidError({
      reason: `${file} has properties that are none: repair it, or delete the image.`,
    })
  }
  return { ...record, id: imageId, properties: properties as ImageRecord['properties'] }
}
