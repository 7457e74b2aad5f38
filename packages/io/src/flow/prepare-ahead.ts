/** Prepares items ahead of their use, a few at a time, and gives them back in order. */
export async function* prepareAhead<Item, Prepared>(
  items: Iterable<Item> | AsyncIterable<Item>,
  count: number,
  prepare: (item: Item) => Promise<Prepared>,
): AsyncGenerator<Prepared, void, void> {
  const queue: Promise<Prepared>[] = []
  try {
    for await (const item of items) {
      if (queue.length >= count) yield (await queue.shift()) as Prepared
      const prepared = prepare(item)
      // It is awaited later; a failure until then is not an unhandled one.
      prepared.catch(() => undefined)
      queue.push(prepared)
    }
    for (let first = queue.shift(); first !== undefined; first = queue.shift()) yield await first
  } finally {
    // Nothing may still read when the caller closes the files.
    await Promise.allSettled(queue)
  }
}
