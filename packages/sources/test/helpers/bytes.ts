import { createHash } from 'node:crypto'
import type { DownloadOptions, DownloadReport, Source } from '@disk-image/core'
import { transferVerified } from '@disk-image/io'

/** `sha256:…` */
export function digest(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Bytes in memory. */
export function bytesSource(bytes: Uint8Array): Source {
  async function* parts(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 300_000)
      yield await Promise.resolve(bytes.subarray(at, at + 300_000))
  }
  return {
    name: 'bytes',
    sizeBytes: bytes.length,
    download: (sink, options) =>
      transferVerified(parts(), sink, { ...options, image: { id: 'bytes', size: bytes.length } }),
  }
}

/** All that a source has. */
export async function download(
  source: Source,
  options?: DownloadOptions,
): Promise<{ readonly bytes: Buffer; readonly report: DownloadReport }> {
  const parts: Buffer[] = []
  const report = await source.download({ write: (chunk) => void parts.push(Buffer.from(chunk)) }, options)
  return { bytes: Buffer.concat(parts), report }
}
