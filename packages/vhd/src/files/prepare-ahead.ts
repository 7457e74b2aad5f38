/** Prepares items ahead of their use, a few at a time, and gives them back in order. */
export async function* prepareAhead<Item, Prepared>(
  items: Iterable<Item>,
  count: number,
  prepare: (item: Item) => Promise<Prepared>,
): AsyncGenerator<Prepared, void, void> {
  const queue: Promise<Prepared>[] = []
  const iterator = items[Symbol.iterator]()
  let ended = false
  try {
    for (;;) {
      while (!ended && queue.length < count) {
        const next = iterator.next()
        if (next.done === true) {
          ended = true
          break
        }
        const prepared = prepare(next.value)
        // It is awaited later; a failure until then is not an unhandled one.
        prepared.catch(() => undefined)
        queue.push(prepared)
      }
      const first = queue.shift()
      if (first === undefined) return
      yield await first
    }
  } finally {
    // Nothing may still read when the caller closes the files.
    await Promise.allSettled(queue)
  }
}
