/** Bytes that stand at a place. */
export interface Patch {
  readonly at: number
  readonly bytes: Uint8Array
}

/**
 * An image that is changed in place and put back: a change costs its own bytes and not a copy of the image.
 */
export class MutableImage {
  readonly #whole: Uint8Array
  readonly #undo: Patch[] = []
  #size: number

  /** @param bytes are changed, and as they were after each {@link MutableImage.restore} */
  constructor(bytes: Uint8Array) {
    this.#whole = bytes
    this.#size = bytes.length
  }

  get size(): number {
    return this.#size
  }

  /** The image as it is now, without a copy. */
  get bytes(): Uint8Array {
    return this.#whole.subarray(0, this.#size)
  }

  /** Writes as many of the bytes as there is room for. */
  put(at: number, bytes: Uint8Array): void {
    if (at < 0 || at >= this.#size) return
    const fitting = bytes.slice(0, this.#size - at)
    this.#undo.push({ at, bytes: this.#whole.slice(at, at + fitting.length) })
    this.#whole.set(fitting, at)
  }

  cut(size: number): void {
    this.#size = Math.max(0, Math.min(size, this.#size))
  }

  /** What was changed since the last {@link MutableImage.restore}, as patches of the original. */
  changes(): readonly Patch[] {
    const patches: Patch[] = []
    for (const { at, bytes } of this.#undo) {
      // Of a long piece that was written, usually only a few bytes are new.
      let from = 0
      let to = Math.min(bytes.length, this.#size - at)
      while (from < to && bytes[from] === this.#whole[at + from]) from += 1
      while (to > from && bytes[to - 1] === this.#whole[at + to - 1]) to -= 1
      if (from < to) patches.push({ at: at + from, bytes: this.#whole.slice(at + from, at + to) })
    }
    return patches
  }

  restore(): void {
    for (const { at, bytes } of this.#undo.toReversed()) this.#whole.set(bytes, at)
    this.#undo.length = 0
    this.#size = this.#whole.length
  }
}
