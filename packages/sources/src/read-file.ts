import { open } from 'node:fs/promises'
import { InvalidError } from '@disk-image/core'
import { readFully } from '@disk-image/io'

/** No file of settings is as long. */
const longestBytes = 1024 ** 2

/**
 * Reads a small file of settings.
 *
 * @returns undefined where there is none
 * @throws {InvalidError} where it can't be read or is too long
 */
export async function readSettingsFile(file: string): Promise<string | undefined> {
  try {
    await using handle = await open(file, 'r')
    const bytes = new Uint8Array(longestBytes + 1)
    const length = await readFully(handle, bytes, 0)
    if (length <= longestBytes) return new TextDecoder().decode(bytes.subarray(0, length))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new InvalidError({
      reason: `The settings ${file} can't be read: ${code ?? String(error)}`,
      cause: error,
    })
  }
  throw new InvalidError({ reason: `The settings ${file} have more than ${longestBytes} bytes` })
}
