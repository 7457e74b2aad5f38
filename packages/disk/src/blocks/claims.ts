const pageUnits = 2 ** 18
const mostPages = 2048

/**
 * Which units of a file are taken. A page of 32 KiB is made for each 2^18 units where one is taken, at most 64 MiB
 * in all: with units of 512 bytes that is 256 GiB of stored data, and what lies behind is not compared.
 */
export class Claims {
  readonly #pages = new Map<number, Uint8Array>()

  /** Takes units; false where one of them was taken before. */
  take(first: number, count: number): boolean {
    let free = true
    for (let unit = first; unit < first + count;) {
      const page = Math.floor(unit / pageUnits)
      const end = Math.min(first + count, (page + 1) * pageUnits)
      const bits = this.#page(page)
      if (bits !== undefined && !takeBits(bits, unit - page * pageUnits, end - page * pageUnits)) free = false
      unit = end
    }
    return free
  }

  #page(page: number): Uint8Array | undefined {
    const known = this.#pages.get(page)
    if (known !== undefined || this.#pages.size >= mostPages) return known
    const made = new Uint8Array(pageUnits / 8)
    this.#pages.set(page, made)
    return made
  }
}

function takeBits(bits: Uint8Array, from: number, to: number): boolean {
  let free = true
  for (let bit = from; bit < to;) {
    const byte = bit >> 3
    const whole = (bit & 7) === 0 && bit + 8 <= to
    const mask = whole ? 0xff : 1 << (bit & 7)
    if (((bits[byte] as number) & mask) !== 0) free = false
    bits[byte] = (bits[byte] as number) | mask
    bit += whole ? 8 : 1
  }
  return free
}
