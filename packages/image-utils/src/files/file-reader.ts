import { inspect, type InspectionResult } from '@disk-image/format-policy/inspector'
import { type RandomAccessReader } from '@disk-image/core'
import { allocateBuffer, readFully } from '@disk-image/io'
import { type HoldOptions, openSource } from '@disk-image/host'

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
