import type { Cipheriv, Decipheriv } from 'node:crypto'
import type { LuksCipher } from './cipher-name.ts'

/** Most bytes that are decrypted at once: everything stays in the processor's cache. */
const stepBytes = 256 * 1024

/** Decrypts whole sectors, each by its number. */
export interface SectorCipher {
  /**
   * @param from whole sectors; they stay as they are
   * @param into gets as many bytes; may be the same memory
   * @param first number of the first sector, counted in 512 bytes
   * @param sectorBytes of each
   */
  decrypt(from: Uint8Array, into: Uint8Array, first: number, sectorBytes: number): void
}

/**
 * Makes the cipher of a key. Blocks go through AES many at a time, and what chains them is added here: a call for each
 * sector would take a hundred times as long.
 *
 * @param key may be wiped afterwards
 */
export function createSectorCipher(cipher: LuksCipher, key: Uint8Array): SectorCipher {
  if (cipher.mode === 'xts') {
    const half = key.length / 2
    return new Xts(decryption(key.subarray(0, half)), encryption(key.subarray(half)), cipher.vector)
  }
  if (cipher.vector !== 'essiv:sha256') return new Cbc(decryption(key), undefined, cipher.vector)
  const salt = process.getBuiltinModule('node:crypto').createHash('sha256').update(key).digest()
  try {
    return new Cbc(decryption(key), encryption(salt), cipher.vector)
  } finally {
    salt.fill(0)
  }
}

/** Single blocks: each is decrypted by itself, in as many calls as there are. */
function decryption(key: Uint8Array): Decipheriv {
  const { createDecipheriv } = process.getBuiltinModule('node:crypto')
  return createDecipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false)
}

function encryption(key: Uint8Array): Cipheriv {
  const { createCipheriv } = process.getBuiltinModule('node:crypto')
  return createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false)
}

/** The numbers of sectors, each as the 16 bytes that its first vector is made of. */
class Vectors {
  readonly #numbers = new Uint32Array((stepBytes / 512) * 4)
  readonly #bytes = new Uint8Array(this.#numbers.buffer)
  readonly #isShort: boolean
  readonly #encryption: Cipheriv | undefined

  constructor(name: LuksCipher['vector'], encryption: Cipheriv | undefined) {
    this.#isShort = name === 'plain'
    this.#encryption = encryption
  }

  /** @param sectorBytes of each of `count` sectors, of which the first one has the number `first` */
  of(first: number, count: number, sectorBytes: number): Uint32Array {
    const numbers = this.#numbers
    for (let index = 0; index < count; index += 1) {
      const number = first + index * (sectorBytes / 512)
      numbers[4 * index] = number % 2 ** 32
      numbers[4 * index + 1] = this.#isShort ? 0 : Math.floor(number / 2 ** 32)
    }
    if (this.#encryption === undefined) return numbers
    return words(this.#encryption.update(this.#bytes.subarray(0, 16 * count)))
  }
}

/** Blocks as four numbers of 32 bits each; a copy only where the memory is not aligned to them. */
function words(bytes: Uint8Array): Uint32Array {
  const isAligned = bytes.byteOffset % 4 === 0
  const aligned = isAligned ? bytes : new Uint8Array(bytes)
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
}

/** @see https://standards.ieee.org/ieee/1619/4205/ */
class Xts implements SectorCipher {
  readonly #data: Decipheriv
  readonly #vectors: Vectors
  /** What each block is combined with before and after. */
  readonly #tweaks = new Uint32Array(stepBytes / 4)
  readonly #mixed = new Uint32Array(stepBytes / 4)

  constructor(data: Decipheriv, tweak: Cipheriv, vector: LuksCipher['vector']) {
    this.#data = data
    this.#vectors = new Vectors(vector, tweak)
  }

  decrypt(from: Uint8Array, into: Uint8Array, first: number, sectorBytes: number): void {
    for (let at = 0; at < from.length; at += stepBytes) {
      const part = from.subarray(at, at + stepBytes)
      const length = part.length / 4
      const vectors = this.#vectors.of(first + at / 512, part.length / sectorBytes, sectorBytes)
      combineWithTweaks(words(part), vectors, sectorBytes / 4, this.#tweaks, this.#mixed)
      const bytes = new Uint8Array(this.#mixed.buffer, 0, part.length)
      const decrypted = words(this.#data.update(bytes))
      const isAligned = into.byteOffset % 4 === 0
      const target = isAligned ? words(into.subarray(at, at + part.length)) : this.#mixed
      combine(decrypted, this.#tweaks, target, length)
      if (!isAligned) into.set(bytes, at)
    }
  }
}

/** The tweak of a block is the one before it times x, in the field of AES-XTS; a sector's first one is its vector. */
function combineWithTweaks(
  from: Uint32Array,
  vectors: Uint32Array,
  sectorWords: number,
  tweaks: Uint32Array,
  mixed: Uint32Array,
): void {
  for (let at = 0, vector = 0; at < from.length; vector += 4) {
    let a = vectors[vector]! | 0
    let b = vectors[vector + 1]! | 0
    let c = vectors[vector + 2]! | 0
    let d = vectors[vector + 3]! | 0
    for (const end = at + sectorWords; at < end; at += 4) {
      tweaks[at] = a
      tweaks[at + 1] = b
      tweaks[at + 2] = c
      tweaks[at + 3] = d
      mixed[at] = from[at]! ^ a
      mixed[at + 1] = from[at + 1]! ^ b
      mixed[at + 2] = from[at + 2]! ^ c
      mixed[at + 3] = from[at + 3]! ^ d
      const carry = (d >> 31) & 0x87
      d = (d << 1) | (c >>> 31)
      c = (c << 1) | (b >>> 31)
      b = (b << 1) | (a >>> 31)
      a = (a << 1) ^ carry
    }
  }
}

function combine(one: Uint32Array, other: Uint32Array, into: Uint32Array, length: number): void {
  for (let at = 0; at < length; at += 1) into[at] = one[at]! ^ other[at]!
}

/** Each block is combined with the encrypted one before it, and a sector's first one with its vector. */
class Cbc implements SectorCipher {
  readonly #data: Decipheriv
  readonly #vectors: Vectors
  readonly #chained = new Uint32Array(stepBytes / 4)

  constructor(data: Decipheriv, salt: Cipheriv | undefined, vector: LuksCipher['vector']) {
    this.#data = data
    this.#vectors = new Vectors(vector, salt)
  }

  decrypt(from: Uint8Array, into: Uint8Array, first: number, sectorBytes: number): void {
    const sectorWords = sectorBytes / 4
    for (let at = 0; at < from.length; at += stepBytes) {
      const part = from.subarray(at, at + stepBytes)
      const length = part.length / 4
      const vectors = this.#vectors.of(first + at / 512, part.length / sectorBytes, sectorBytes)
      const chained = this.#chained
      chained.set(words(part).subarray(0, length - 4), 4)
      for (let start = 0, vector = 0; start < length; start += sectorWords, vector += 4) {
        for (let word = 0; word < 4; word += 1) chained[start + word] = vectors[vector + word]!
      }
      const decrypted = words(this.#data.update(part))
      combine(decrypted, chained, chained, length)
      into.set(new Uint8Array(chained.buffer, 0, part.length), at)
    }
  }
}
