/**
 * Settles as the promise does, or rejects with the signal's reason where that comes first: what hangs is left to
 * itself. A signal that comes later finds nothing of it any more.
 */
export function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise
  // Whoever waits no longer must not leave its failure unheard: that ends the process.
  promise.catch(() => undefined)
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error)
    if (signal.aborted) {
      onAbort()
      return
    }
    signal.addEventListener('abort', onAbort, { once: true })
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** The same items, but a source that hangs is given up when the signal says so. */
export async function* iterateUnlessAborted<Item>(
  source: AsyncIterable<Item>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Item, void, void> {
  const iterator = source[Symbol.asyncIterator]()
  let ended = false
  try {
    for (;;) {
      signal?.throwIfAborted()
      const next = await unlessAborted(iterator.next(), signal)
      if (next.done === true) {
        ended = true
        return
      }
      yield next.value
    }
  } finally {
    // Not awaited: a source that hangs may hang here, too.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
}
