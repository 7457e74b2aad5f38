import { MiB } from '@disk-image/core'

const blocksPerGroup = 1024

/** Remembers, to the MiB, where something was written: 1 KiB of memory for each GiB that was touched. */
export class WrittenBlocks {
  readonly #groups = new Map<number, Uint8Array>()
  #end = 0

  add(offset: number, length: number): void {
    if (length === 0) return
    const last = Math.floor((offset + length - 1) / MiB)
    for (let block = Math.floor(offset / MiB); block <= last; block += 1) {
      const group = Math.floor(block / blocksPerGroup)
      let blocks = this.#groups.get(group)
      if (blocks === undefined) {
        blocks = new Uint8Array(blocksPerGroup)
        this.#groups.set(group, blocks)
      }
      blocks[block % blocksPerGroup] = 1
    }
    this.#end = Math.max(this.#end, offset + length)
  }

  /** False only where nothing in the range was written. Behind the last byte written it is exact. */
  mayHave(offset: number, length: number): boolean {
    const end = Math.min(offset + length, this.#end)
    if (offset >= end) return false
    const last = Math.floor((end - 1) / MiB)
    for (let block = Math.floor(offset / MiB); block <= last; block += 1) {
      if (this.#groups.get(Math.floor(block / blocksPerGroup))?.[block % blocksPerGroup] === 1) return true
    }
    return false
  }
}
