import type { ByteSink, DownloadReport } from '@disk-image/core'
import { Channel } from '@disk-image/io'
import type { GlanceDownloadOptions } from './download.ts'

/**
 * A download as an iterable: the sink waits until its chunk was read. Leaving the loop ends the download.
 */
export async function* readThroughSink(
  run: (sink: ByteSink, options: GlanceDownloadOptions) => Promise<DownloadReport>,
  options: GlanceDownloadOptions,
): AsyncGenerator<Uint8Array> {
  const left = new AbortController()
  const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal])
  const channel = new Channel()
  const finished = run(channel, { ...options, signal }).then(
    () => channel.end(),
    (error: unknown) => channel.end(error ?? new Error('The download failed')),
  )
  try {
    // Whoever reads may keep what he gets.
    for await (const bytes of channel) yield Uint8Array.from(bytes)
  } finally {
    left.abort(new Error('The reader left'))
    await finished
  }
}
