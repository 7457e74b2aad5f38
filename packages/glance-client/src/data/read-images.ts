import type { ByteSink, DownloadReport } from '@disk-image/core'
import type { GlanceDownloadOptions } from './download-state.ts'

/** A chunk that waits for its reader. */
interface Waiting {
  readonly bytes: Uint8Array
  readonly taken: () => void
}

/**
 * A download as an iterable: the sink waits until its chunk was read. Leaving the loop ends the download.
 */
export async function* readThroughSink(
  run: (sink: ByteSink, options: GlanceDownloadOptions) => Promise<DownloadReport>,
  options: GlanceDownloadOptions,
): AsyncGenerator<Uint8Array> {
  const left = new AbortController()
  const signal = options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal])
  const slot: { waiting?: Waiting | undefined } = {}
  let wake: (() => void) | undefined
  let ended = false
  const sink: ByteSink = {
    write: (bytes) =>
      new Promise<void>((taken) => {
        slot.waiting = { bytes: Uint8Array.from(bytes), taken }
        if (left.signal.aborted) taken()
        wake?.()
      }),
  }
  const end = (): void => {
    ended = true
    wake?.()
  }
  const finished = run(sink, { ...options, signal }).finally(end)
  finished.catch(() => undefined)
  try {
    for (;;) {
      if (slot.waiting !== undefined) {
        const { bytes, taken } = slot.waiting
        slot.waiting = undefined
        taken()
        yield bytes
      } else if (ended) {
        await finished
        return
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    left.abort(new Error('The reader left'))
    slot.waiting?.taken()
    await finished.catch(() => undefined)
  }
}
