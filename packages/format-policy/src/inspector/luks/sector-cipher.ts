import type { LuksCipher, LuksHash } from '@disk-image/disk/layouts'
import { Aes } from './aes.ts'

/** Hashes, as Web Crypto names them. */
export const webNames: Readonly<Record<LuksHash, string>> = {
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
}

export async function digest(hash: LuksHash, bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest(webNames[hash], new Uint8Array(bytes)))
}

/** Decrypts whole sectors, each by its number. */
export interface SectorCipher {
  /**
   * Decrypts in place.
   *
   * @param bytes whole sectors
   * @param first number of the first one, counted in 512 bytes
   * @param sectorBytes length of each
   */
  decrypt(bytes: Uint8Array, first: number, sectorBytes: number): void
}

type VectorName = LuksCipher['vector']

/** Makes the cipher of a key. */
export async function createSectorCipher(name: LuksCipher, key: Uint8Array): Promise<SectorCipher> {
  if (name.mode === 'xts') {
    const half = key.length / 2
    return new Xts(new Aes(key.subarray(0, half)), new Aes(key.subarray(half)), name.vector)
  }
  const salt = name.vector === 'essiv:sha256' ? new Aes(await digest('sha256', key)) : undefined
  return new Cbc(new Aes(key), salt, name.vector)
}

/** Writes a sector's number as the 16 bytes that its first vector is made of. */
function setNumber(block: Uint32Array, sector: number, vector: VectorName): void {
  block[0] = sector % 2 ** 32
  block[1] = vector === 'plain' ? 0 : Math.floor(sector / 2 ** 32)
  block[2] = 0
  block[3] = 0
}

/** @see https://standards.ieee.org/ieee/1619/4205/ */
class Xts implements SectorCipher {
  readonly #data: Aes
  readonly #tweak: Aes
  readonly #vector: VectorName

  constructor(data: Aes, tweak: Aes, vector: VectorName) {
    this.#data = data
    this.#tweak = tweak
    this.#vector = vector
  }

  decrypt(bytes: Uint8Array, first: number, sectorBytes: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const tweak = new Uint32Array(4)
    const block = new Uint32Array(4)
    for (let start = 0; start < bytes.length; start += sectorBytes) {
      setNumber(tweak, first + start / 512, this.#vector)
      this.#tweak.encrypt(tweak)
      for (let at = start; at < start + sectorBytes; at += 16) {
        for (let word = 0; word < 4; word += 1) {
          block[word] = view.getUint32(at + 4 * word, true) ^ tweak[word]!
        }
        this.#data.decrypt(block)
        for (let word = 0; word < 4; word += 1) {
          view.setUint32(at + 4 * word, block[word]! ^ tweak[word]!, true)
        }
        const carry = tweak[3]! >>> 31
        for (let word = 3; word > 0; word -= 1) tweak[word] = (tweak[word]! << 1) | (tweak[word - 1]! >>> 31)
        tweak[0] = (tweak[0]! << 1) ^ (carry === 0 ? 0 : 0x87)
      }
    }
  }
}

/** The first vector of a sector is its number, or, with a salt, that number encrypted. */
class Cbc implements SectorCipher {
  readonly #data: Aes
  readonly #salt: Aes | undefined
  readonly #vector: VectorName

  constructor(data: Aes, salt: Aes | undefined, vector: VectorName) {
    this.#data = data
    this.#salt = salt
    this.#vector = vector
  }

  decrypt(bytes: Uint8Array, first: number, sectorBytes: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const before = new Uint32Array(4)
    const block = new Uint32Array(4)
    for (let start = 0; start < bytes.length; start += sectorBytes) {
      setNumber(before, first + start / 512, this.#vector)
      this.#salt?.encrypt(before)
      for (let at = start; at < start + sectorBytes; at += 16) {
        for (let word = 0; word < 4; word += 1) block[word] = view.getUint32(at + 4 * word, true)
        this.#data.decrypt(block)
        for (let word = 0; word < 4; word += 1) {
          const encrypted = view.getUint32(at + 4 * word, true)
          view.setUint32(at + 4 * word, block[word]! ^ before[word]!, true)
          before[word] = encrypted
        }
      }
    }
  }
}
