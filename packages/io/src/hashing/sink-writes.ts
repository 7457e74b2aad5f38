import type { ByteSink } from '@disk-image/core'

/** The writes of one sink: begun in order, and no more of them at once than it takes. */
export interface SinkWrites {
  /** Writes when it is its turn. Settles as the write does; once one has failed, none begins any more. */
  add(bytes: Uint8Array): Promise<void>
  /** Waits until none is under way, whatever became of them. */
  settle(): Promise<void>
}

/**
 * Makes {@link SinkWrites}.
 *
 * @param mayBegin asked before each write; one that may not is left out without an error
 */
export function createSinkWrites(
  sink: ByteSink,
  mayBegin: (bytes: number) => boolean = () => true,
): SinkWrites {
  const width = Math.max(1, sink.concurrency ?? 1)
  /** The latest ones, the oldest first; they never reject. */
  let latest: Promise<void>[] = []
  let begun: Promise<unknown> = Promise.resolve()
  let failure: { readonly error: unknown } | undefined
  const begin = (bytes: Uint8Array): Promise<void> | void => {
    if (failure !== undefined) throw failure.error
    if (mayBegin(bytes.length)) return sink.write(bytes)
  }
  return {
    add(bytes) {
      const before = latest.length < width ? undefined : latest[0]
      const turn = begun.then(() => before)
      const done = turn.then(() => begin(bytes))
      begun = turn
      const settled = done.catch((error: unknown) => {
        failure ??= { error }
      })
      latest = [...latest.slice(before === undefined ? 0 : 1), settled]
      return done
    },
    settle: async () => {
      await Promise.all(latest)
    },
  }
}
