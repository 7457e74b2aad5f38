import type { ImageFile } from '../image-file.ts'
import type { BlockTable } from './block-map.ts'

const entriesAtOnce = 8192
const keptPages = 8

/** A table with 32 bits for each block of the disk. */
export interface EntryTablePlace {
  readonly offset: number
  /** Blocks that the disk has; the table may have more. */
  readonly blocks: number
}

/** Reads such a table page by page. */
export function createEntryTable(
  file: ImageFile,
  { offset, blocks }: EntryTablePlace,
  placeOf: (entry: number, entryOffset: number, block: number) => number,
): (block: number) => Promise<BlockTable> {
  const pages = new Recent<BlockTable>(keptPages)
  async function readPage(first: number): Promise<BlockTable> {
    const count = Math.min(entriesAtOnce, blocks - first)
    const view = await file.read(offset + first * 4, count * 4, 'the block map')
    const places = new Float64Array(count)
    for (let index = 0; index < count; index += 1) {
      const at = offset + (first + index) * 4
      places[index] = placeOf(view.getUint32(index * 4, true), at, first + index)
    }
    return { first, count, places }
  }
  return (block) => {
    const first = Math.floor(block / entriesAtOnce) * entriesAtOnce
    return pages.get(first, () => readPage(first))
  }
}

/** Keeps what was made last, also while it is still under way; what fails is forgotten. */
export class Recent<Value> {
  readonly #most: number
  readonly #kept = new Map<number, Promise<Value>>()

  constructor(most: number) {
    this.#most = most
  }

  get(key: number, make: () => Promise<Value>): Promise<Value> {
    const known = this.#kept.get(key)
    if (known !== undefined) return known
    const value = make()
    this.#kept.set(key, value)
    value.catch(() => this.#kept.delete(key))
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#most) break
      this.#kept.delete(oldest)
    }
    return value
  }
}
