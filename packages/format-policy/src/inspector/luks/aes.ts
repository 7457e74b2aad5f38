/** Multiplication by x in the field of AES. */
function double(value: number): number {
  return ((value << 1) ^ (value & 0x80 ? 0x11b : 0)) & 255
}

function times(value: number, factor: number): number {
  let product = 0
  for (let power = value, rest = factor; rest > 0; rest >>>= 1, power = double(power)) {
    if (rest & 1) product ^= power
  }
  return product
}

function substitutions(): Uint8Array {
  const box = new Uint8Array(256)
  let generator = 1
  let inverse = 1
  do {
    generator = times(generator, 3)
    inverse = times(inverse, 0xf6)
    const twice = inverse | (inverse << 8)
    const mixed = inverse ^ (twice >>> 7) ^ (twice >>> 6) ^ (twice >>> 5) ^ (twice >>> 4)
    box[generator] = (mixed ^ 0x63) & 255
  } while (generator !== 1)
  box[0] = 0x63
  return box
}

/** A column for each byte in each of its four rows: the substituted byte times the given factors. */
function columns(box: Uint8Array, factors: readonly [number, number, number, number]): Uint32Array {
  const table = new Uint32Array(1024)
  for (let byte = 0; byte < 256; byte += 1) {
    let column = 0
    for (const [row, factor] of factors.entries()) column |= times(box[byte]!, factor) << (8 * row)
    for (let row = 0; row < 4; row += 1) {
      table[row * 256 + byte] = row === 0 ? column : (column << (8 * row)) | (column >>> (32 - 8 * row))
    }
  }
  return table
}

interface AesTables {
  readonly box: Uint8Array
  readonly inverseBox: Uint8Array
  readonly forward: Uint32Array
  readonly backward: Uint32Array
}

function makeTables(): AesTables {
  const box = substitutions()
  const inverseBox = Uint8Array.from({ length: 256 }, (_, byte) => box.indexOf(byte))
  const forward = columns(box, [2, 1, 1, 3])
  const backward = columns(inverseBox, [14, 9, 13, 11])
  return { box, inverseBox, forward, backward }
}

function substitute(table: Uint8Array, a: number, b: number, c: number, d: number): number {
  return (
    table[a & 255]! |
    (table[(b >>> 8) & 255]! << 8) |
    (table[(c >>> 16) & 255]! << 16) |
    (table[d >>> 24]! << 24)
  )
}

function expand(key: Uint8Array, { box }: AesTables): Uint32Array {
  const keyWords = key.length / 4
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength)
  const words = new Uint32Array(4 * (keyWords + 7))
  let constant = 1
  for (let index = 0; index < words.length; index += 1) {
    if (index < keyWords) {
      words[index] = view.getUint32(4 * index, true)
      continue
    }
    let word = words[index - 1]!
    if (index % keyWords === 0) {
      word = (word >>> 8) | (word << 24)
      word = substitute(box, word, word, word, word) ^ constant
      constant = double(constant)
    } else if (keyWords > 6 && index % keyWords === 4) {
      word = substitute(box, word, word, word, word)
    }
    words[index] = words[index - keyWords]! ^ word
  }
  return words
}

/** The round keys in reverse, the inner ones through the inverse mix of columns. */
function reverse(words: Uint32Array, { box, backward }: AesTables): Uint32Array {
  const reversed = new Uint32Array(words.length)
  for (let index = 0; index < words.length; index += 1) {
    const word = words[words.length - 4 - (index & ~3) + (index & 3)]!
    const outer = index < 4 || index >= words.length - 4
    reversed[index] = outer
      ? word
      : backward[box[word & 255]!]! ^
        backward[256 + box[(word >>> 8) & 255]!]! ^
        backward[512 + box[(word >>> 16) & 255]!]! ^
        backward[768 + box[word >>> 24]!]!
  }
  return reversed
}

/**
 * The AES block cipher, on blocks of four words in little-endian order. Web Crypto has neither XTS nor single
 * blocks. Its tables are looked up by secret bytes, so who shares the processor's cache could learn of the
 * key: it is for looking into images, not for keeping secrets.
 *
 * @see https://csrc.nist.gov/pubs/fips/197/final
 */
export class Aes {
  /** Made for the first key: most programs never have one, and would start 6 ms later. */
  static #shared: AesTables | undefined
  readonly #tables: AesTables
  readonly #encryption: Uint32Array
  readonly #decryption: Uint32Array

  /** @param key 16, 24 or 32 bytes */
  constructor(key: Uint8Array) {
    this.#tables = Aes.#shared ??= makeTables()
    this.#encryption = expand(key, this.#tables)
    this.#decryption = reverse(this.#encryption, this.#tables)
  }

  /** Encrypts four words in place. */
  encrypt(block: Uint32Array): void {
    const { box, forward } = this.#tables
    const keys = this.#encryption
    let a = block[0]! ^ keys[0]!
    let b = block[1]! ^ keys[1]!
    let c = block[2]! ^ keys[2]!
    let d = block[3]! ^ keys[3]!
    let at = 4
    for (; at < keys.length - 4; at += 4) {
      const nextA = column(forward, a, b, c, d) ^ keys[at]!
      const nextB = column(forward, b, c, d, a) ^ keys[at + 1]!
      const nextC = column(forward, c, d, a, b) ^ keys[at + 2]!
      d = column(forward, d, a, b, c) ^ keys[at + 3]!
      a = nextA
      b = nextB
      c = nextC
    }
    block[0] = substitute(box, a, b, c, d) ^ keys[at]!
    block[1] = substitute(box, b, c, d, a) ^ keys[at + 1]!
    block[2] = substitute(box, c, d, a, b) ^ keys[at + 2]!
    block[3] = substitute(box, d, a, b, c) ^ keys[at + 3]!
  }

  /** Decrypts four words in place. */
  decrypt(block: Uint32Array): void {
    const { inverseBox, backward } = this.#tables
    const keys = this.#decryption
    let a = block[0]! ^ keys[0]!
    let b = block[1]! ^ keys[1]!
    let c = block[2]! ^ keys[2]!
    let d = block[3]! ^ keys[3]!
    let at = 4
    for (; at < keys.length - 4; at += 4) {
      const nextA = column(backward, a, d, c, b) ^ keys[at]!
      const nextB = column(backward, b, a, d, c) ^ keys[at + 1]!
      const nextC = column(backward, c, b, a, d) ^ keys[at + 2]!
      d = column(backward, d, c, b, a) ^ keys[at + 3]!
      a = nextA
      b = nextB
      c = nextC
    }
    block[0] = substitute(inverseBox, a, d, c, b) ^ keys[at]!
    block[1] = substitute(inverseBox, b, a, d, c) ^ keys[at + 1]!
    block[2] = substitute(inverseBox, c, b, a, d) ^ keys[at + 2]!
    block[3] = substitute(inverseBox, d, c, b, a) ^ keys[at + 3]!
  }
}

function column(table: Uint32Array, a: number, b: number, c: number, d: number): number {
  return (
    table[a & 255]! ^
    table[256 + ((b >>> 8) & 255)]! ^
    table[512 + ((c >>> 16) & 255)]! ^
    table[768 + (d >>> 24)]!
  )
}
