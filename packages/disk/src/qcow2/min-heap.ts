/** A binary heap: hands things out by a number of theirs, the least first. */
export class MinHeap<Thing> {
  readonly #heap: Thing[] = []
  readonly #number: (thing: Thing) => number

  constructor(number: (thing: Thing) => number) {
    this.#number = number
  }

  get size(): number {
    return this.#heap.length
  }

  /** What is handed out next. Its number may be raised as long as it stays the least. */
  get first(): Thing | undefined {
    return this.#heap[0]
  }

  push(thing: Thing): void {
    const heap = this.#heap
    const number = this.#number(thing)
    let index = heap.length
    heap.push(thing)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]
      if (above === undefined || this.#number(above) <= number) break
      heap[index] = above
      index = parent
    }
    heap[index] = thing
  }

  pop(): Thing | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    const number = this.#number(last)
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && this.#number(right) < this.#number(left)) child += 1
      const below = heap[child]
      if (below === undefined || this.#number(below) >= number) break
      heap[index] = below
      index = child
    }
    heap[index] = last
    return first
  }
}
