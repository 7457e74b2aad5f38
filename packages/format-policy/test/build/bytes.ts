/** Writes numbers and text into an image that a test builds. Grows as needed. */
export class Bytes {
  #bytes: Uint8Array

  constructor(length = 0) {
    this.#bytes = new Uint8Array(length)
  }

  get length(): number {
    return this.#bytes.length
  }

  put(at: number, value: string | Uint8Array | readonly number[]): this {
    const bytes =
      typeof value === 'string' ? Uint8Array.from(value, (character) => character.charCodeAt(0)) : value
    if (at + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array(at + bytes.length)
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes.set(bytes, at)
    return this
  }

  /** Big endian, `length` bytes. */
  be(at: number, value: number | bigint, length: 1 | 2 | 4 | 8): this {
    const bytes = Array.from({ length }, (_, index) =>
      Number((BigInt(value) >> BigInt(8 * (length - 1 - index))) & 255n),
    )
    return this.put(at, bytes)
  }

  /** Little endian, `length` bytes. */
  le(at: number, value: number | bigint, length: 1 | 2 | 4 | 8): this {
    const bytes = Array.from({ length }, (_, index) => Number((BigInt(value) >> BigInt(8 * index)) & 255n))
    return this.put(at, bytes)
  }

  fill(at: number, length: number, value: number): this {
    return this.put(at, new Uint8Array(length).fill(value))
  }

  end(): Uint8Array {
    return this.#bytes.slice()
  }
}

/** One byte for each character. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

/** Bytes that look like data and are the same in every run. */
export function noise(length: number, seed = 1): Uint8Array {
  let state = seed >>> 0 || 1
  return Uint8Array.from({ length }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state & 255
  })
}
