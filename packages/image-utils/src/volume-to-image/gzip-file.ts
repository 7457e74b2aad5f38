import { open } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import type { CallOptions } from '@disk-image/core'
import { spaceError } from '@disk-image/host'
import { writeFully } from '@disk-image/io'
import { readFileInChunks } from '../files/file-chunks.ts'

/**
 * Compresses a file as gzip, in members of 1 MiB on several threads. Every gzip decoder reads members one
 * after the other as one stream.
 *
 * @see RFC 1952, 2.2
 */
export async function gzipFile(
  source: string,
  destination: string,
  options: CallOptions & { readonly imageId: string },
): Promise<void> {
  const compress = promisify(process.getBuiltinModule('node:zlib').gzip)
  const handle = await open(destination, 'r+')
  try {
    const inFlight: Promise<Buffer>[] = []
    const atOnce = Math.max(2, availableParallelism())
    let taken = 0
    let position = 0
    const writeNext = async (): Promise<void> => {
      const member = await inFlight.shift()
      if (member === undefined) return
      await writeFully(handle, member, position)
      position += member.length
    }
    for await (const chunk of readFileInChunks(source, options)) {
      const member = compress(new Uint8Array(chunk))
      // A failure is reported where the member is awaited, in order.
      member.catch(() => undefined)
      inFlight.push(member)
      taken += chunk.length
      options.onProgress?.({ stage: 'convert', completed: taken, unit: 'bytes' })
      if (inFlight.length >= atOnce) await writeNext()
    }
    if (taken === 0) inFlight.push(compress(new Uint8Array(0)))
    while (inFlight.length > 0) await writeNext()
    await handle.truncate(position)
    await handle.datasync()
  } catch (error) {
    throw (await spaceError(error, { path: destination, imageId: options.imageId })) ?? error
  } finally {
    await handle.close()
  }
}
