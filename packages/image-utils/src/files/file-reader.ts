import { inspect, type InspectionResult } from '@disk-image/format-policy/inspector'
import { type RandomAccessReader, ImageUnacceptableError } from '@disk-image/core'
import { allocateBuffer, readFully } from '@disk-image/io'
import { type HoldOptions, openSource, type HeldFile, holdFile, renameInError } from '@disk-image/host'

/** A file or block device that can be read anywhere. Close it. */
export interface FileReader extends RandomAccessReader {
  close(): Promise<void>
}

/**
 * Opens a file or block device for reading.
 *
 * @throws {InvalidError} for a pipe, a socket, a terminal or a folder
 */
export async function openFileReader(path: string, options: HoldOptions = {}): Promise<FileReader> {
  const { handle, sizeBytes: size } = await openSource(path, options)
  return {
    size,
    read: async (offset, length, into) => {
      const wanted = Math.max(0, Math.min(length, size - offset))
      const lent = into !== undefined && into.length >= wanted
      const bytes = lent ? into.subarray(0, wanted) : allocateBuffer(wanted)
      return bytes.subarray(0, await readFully(handle, bytes, offset))
    },
    close: () => handle.close(),
  }
}

/** Opens, uses, closes. */
export async function withFileReader<Result>(
  path: string,
  use: (reader: FileReader) => Promise<Result>,
  options: HoldOptions = {},
): Promise<Result> {
  const reader = await openFileReader(path, options)
  try {
    return await use(reader)
  } finally {
    await reader.close()
  }
}

/** Looks at a file with our own inspector. */
export function inspectFile(path: string): Promise<InspectionResult> {
  return withFileReader(path, (reader) => inspect(reader))
}

/**
 * Holds a source while it is used: whoever judges it and whoever reads it, tools included, has the same file. Errors
 * call it by the name that it was given with.
 *
 * @param hold looks the name up; by default links are followed
 * @throws {InvalidError} for a pipe, a socket, a terminal or a folder
 */
export async function withSource<Result>(
  name: string,
  use: (source: HeldFile) => Promise<Result>,
  hold: (name: string) => Promise<HeldFile> = holdFile,
): Promise<Result> {
  await using source = await hold(name)
  try {
    return await use(source)
  } catch (error) {
    renameInError(error, source)
    throw error
  }
}

/**
 * What was judged must be what was read: an image whose tables change meanwhile can refer to anything. Raw disks are
 * not asked; a guest may be writing to one.
 *
 * @param judged the stamp that it had before it was judged
 * @throws {ImageUnacceptableError} rule `source-changed`
 */
export async function checkUnchanged(source: HeldFile, judged: string, imageId: string): Promise<void> {
  if ((await source.stamp()) === judged) return
  throw new ImageUnacceptableError({
    imageId,
    rule: 'source-changed',
    reason: `${source.name} was changed while it was read.`,
    accepted: 'a source that nobody writes to',
  })
}
