/** The L2 tables of a disk in the order of the file, and which of them are open. */
export class TableOrder {
  readonly #l1: Float64Array
  readonly #order: Uint32Array
  readonly #open: Uint8Array
  /** No table before this one is closed. */
  #firstClosed = 0

  /** @param l1 offsets of the tables; 0: there is none */
  constructor(l1: Float64Array) {
    this.#l1 = l1
    this.#order = sortedByOffset(l1)
    this.#open = new Uint8Array(this.#order.length)
  }

  /** Indices of the tables in the L1 table. */
  get indices(): Iterable<number> {
    return this.#order
  }

  /** Where the first table lies that is not open; infinite where all are. */
  get nextOffset(): number {
    while (this.#open[this.#firstClosed] === 1) this.#firstClosed += 1
    return this.#offsetAt(this.#firstClosed)
  }

  /** Opens that table. @returns its index in the L1 table */
  openNext(): number {
    return this.#openAt(this.#firstClosed)
  }

  /** Where the first table from a place on lies; infinite where none does. */
  nextFrom(offset: number): number {
    return this.#offsetAt(this.#firstFrom(offset))
  }

  /** Opens the table that {@link nextFrom} tells of. @returns its index in the L1 table */
  openFrom(offset: number): number {
    return this.#openAt(this.#firstFrom(offset))
  }

  #openAt(place: number): number {
    this.#open[place] = 1
    return this.#order[place] ?? 0
  }

  #firstFrom(offset: number): number {
    let low = 0
    let high = this.#order.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#offsetAt(middle) < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  #offsetAt(place: number): number {
    const index = this.#order[place]
    return index === undefined ? Infinity : (this.#l1[index] ?? 0)
  }
}

function sortedByOffset(l1: Float64Array): Uint32Array {
  let count = 0
  for (const offset of l1) if (offset !== 0) count += 1
  const order = new Uint32Array(count)
  let position = 0
  for (let index = 0; index < l1.length; index += 1) {
    if (l1[index] === 0) continue
    order[position] = index
    position += 1
  }
  return order.sort((left, right) => (l1[left] ?? 0) - (l1[right] ?? 0))
}
