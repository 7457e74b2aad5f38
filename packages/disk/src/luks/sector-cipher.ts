import type { Cipheriv, Decipheriv } from 'node:crypto'
import { MiB } from '@disk-image/core'
import { allocatePageMemory, type PageMemory } from '@disk-image/io'
import { freeBuffer } from '../stream/inflater.ts'
import { type BlockXor, createBlockXor } from './block-xor.ts'
import type { LuksCipher } from './luks-layout.ts'

/** Most bytes that are worked on at once: everything stays in the processor's cache. */
const stepBytes = 256 * 1024
/** In a slot: room for a step, then the vectors of its sectors and a block of zeros, then sectors. */
const vectorsAt = stepBytes
const zerosAt = vectorsAt + (stepBytes / 512) * 16
const sectorsAt = zerosAt + 4096

/** What is done with sectors. */
export type CipherDirection = 'encrypt' | 'decrypt'

/** Memory for sectors that are worked on where they are, in slots with what that needs. */
export class SectorSlots {
  readonly memory: PageMemory
  readonly #xor: BlockXor
  readonly #bytes: Uint8Array

  /** @param memory of another thread's slots */
  constructor(memory: PageMemory) {
    this.memory = memory
    this.#xor = createBlockXor(memory)
    this.#bytes = new Uint8Array(memory.buffer)
  }

  /** @param bytes in each slot */
  static allocate(slots: number, bytes: number = SectorSlots.bytes): SectorSlots {
    return new SectorSlots(allocatePageMemory((slots - 1) * slotBytes + sectorsAt + bytes))
  }

  /** Most bytes of sectors in each. */
  static readonly bytes: number = MiB

  /** The sectors of a slot. */
  slot(index: number): Uint8Array {
    const start = index * slotBytes + sectorsAt
    return this.#bytes.subarray(start, start + SectorSlots.bytes)
  }

  get xor(): BlockXor {
    return this.#xor
  }

  view(at: number, length: number): Uint8Array {
    return this.#bytes.subarray(at, at + length)
  }
}

const slotBytes = sectorsAt + SectorSlots.bytes

/** Sectors of a disk, and the number of the first one. */
export interface Sectors {
  /** Counted in 512 bytes. */
  readonly first: number
  readonly sectorBytes: number
}

/** Encrypts or decrypts whole sectors in place, each by its number. */
export interface SectorCipher {
  /** @param bytes whole sectors, in any memory */
  run(direction: CipherDirection, bytes: Uint8Array, sectors: Sectors): void
  /** The same in a slot: without a copy. `at` is a byte of the memory. */
  runInSlot(
    direction: CipherDirection,
    slots: SectorSlots,
    at: number,
    length: number,
    sectors: Sectors,
  ): void
}

/**
 * Makes the cipher of a key. Blocks go through AES many at a time, and what chains them is added here: a call for each
 * sector would take a hundred times as long.
 *
 * @param key may be wiped afterwards
 * @throws {Error} without WebAssembly
 */
export function createSectorCipher({ mode, vector }: LuksCipher, key: Uint8Array): SectorCipher {
  if (mode === 'xts') {
    const half = key.length / 2
    const tweaks = blockCipher('encrypt', key.subarray(half))
    return new BlockCipher(new Xts(key.subarray(0, half)), new Vectors(vector, tweaks))
  }
  if (vector !== 'essiv:sha256') return new BlockCipher(new Cbc(key), new Vectors(vector))
  const salt = process.getBuiltinModule('node:crypto').createHash('sha256').update(key).digest()
  try {
    return new BlockCipher(new Cbc(key), new Vectors(vector, blockCipher('encrypt', salt)))
  } finally {
    salt.fill(0)
  }
}

/** Single blocks, each by itself, in as many calls as there are. */
function blockCipher(direction: CipherDirection, key: Uint8Array): Cipheriv | Decipheriv {
  const crypto = process.getBuiltinModule('node:crypto')
  const create = direction === 'encrypt' ? crypto.createCipheriv : crypto.createDecipheriv
  return create(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false)
}

/** Puts blocks through AES, in place. */
function replace(
  cipher: Cipheriv | Decipheriv,
  blocks: Uint8Array,
  wipes = false,
  into: Uint8Array = blocks,
): void {
  const done = cipher.update(blocks)
  into.set(done)
  if (wipes) done.fill(0)
  freeBuffer(done, blocks.length)
}

/** Both directions of a key: AES has its own rounds for each. */
class Aes {
  readonly encryption: Cipheriv | Decipheriv
  readonly decryption: Cipheriv | Decipheriv

  constructor(key: Uint8Array) {
    this.encryption = blockCipher('encrypt', key)
    this.decryption = blockCipher('decrypt', key)
  }
}

/** A part of a slot, at most a step. */
interface Step {
  readonly slots: SectorSlots
  /** Where the slot begins in the memory, and where its sectors do. */
  readonly slot: number
  readonly at: number
  readonly length: number
  readonly sectorBytes: number
  /** Whether no copy of it may stay behind: it may be a key. */
  readonly wipes: boolean
}

interface Mode {
  encrypt(step: Step): void
  decrypt(step: Step): void
}

class BlockCipher implements SectorCipher {
  readonly #mode: Mode
  readonly #vectors: Vectors
  #own: SectorSlots | undefined

  constructor(mode: Mode, vectors: Vectors) {
    this.#mode = mode
    this.#vectors = vectors
  }

  run(direction: CipherDirection, bytes: Uint8Array, { first, sectorBytes }: Sectors): void {
    const own = (this.#own ??= SectorSlots.allocate(1, stepBytes))
    for (let start = 0; start < bytes.length; start += stepBytes) {
      const part = bytes.subarray(start, start + stepBytes)
      const sectors = own.view(sectorsAt, part.length)
      sectors.set(part)
      this.#run(
        direction,
        { slots: own, slot: 0, at: sectorsAt, length: part.length, sectorBytes, wipes: true },
        first + start / 512,
      )
      part.set(sectors)
      own.view(0, vectorsAt).fill(0)
      sectors.fill(0)
    }
  }

  runInSlot(
    direction: CipherDirection,
    slots: SectorSlots,
    at: number,
    length: number,
    { first, sectorBytes }: Sectors,
  ): void {
    const slot = Math.floor(at / slotBytes) * slotBytes
    for (let start = 0; start < length; start += stepBytes) {
      const stepLength = Math.min(stepBytes, length - start)
      const step = { slots, slot, at: at + start, length: stepLength, sectorBytes, wipes: false }
      this.#run(direction, step, first + start / 512)
    }
  }

  #run(direction: CipherDirection, step: Step, first: number): void {
    this.#vectors.put(step, first)
    this.#mode[direction](step)
  }
}

/** The numbers of sectors, each as the 16 bytes that its first vector is made of. */
class Vectors {
  readonly #isShort: boolean
  readonly #encryption: Cipheriv | Decipheriv | undefined

  constructor(name: LuksCipher['vector'], encryption?: Cipheriv | Decipheriv) {
    this.#isShort = name === 'plain'
    this.#encryption = encryption
  }

  /** Puts one for each sector into the slot. */
  put({ slots, slot, length, sectorBytes }: Step, first: number): void {
    const count = Math.ceil(length / sectorBytes)
    const bytes = slots.view(slot + vectorsAt, 16 * count)
    const numbers = new Uint32Array(bytes.buffer, bytes.byteOffset, 4 * count)
    for (let index = 0; index < count; index += 1) {
      const number = first + index * (sectorBytes / 512)
      numbers[4 * index] = number % 2 ** 32
      numbers[4 * index + 1] = this.#isShort ? 0 : Math.floor(number / 2 ** 32)
      numbers[4 * index + 2] = 0
      numbers[4 * index + 3] = 0
    }
    if (this.#encryption !== undefined) replace(this.#encryption, bytes)
  }
}

/** Each block is combined with its tweak before and after. */
class Xts implements Mode {
  readonly #aes: Aes

  constructor(key: Uint8Array) {
    this.#aes = new Aes(key)
  }

  encrypt(step: Step): void {
    this.#run(this.#aes.encryption, step)
  }

  decrypt(step: Step): void {
    this.#run(this.#aes.decryption, step)
  }

  #run(cipher: Cipheriv | Decipheriv, { slots, slot, at, length, sectorBytes, wipes }: Step): void {
    const tweak = (): void =>
      slots.xor.tweak(at, slot + vectorsAt, Math.ceil(length / sectorBytes), sectorBytes / 16)
    tweak()
    replace(cipher, slots.view(at, length), wipes)
    tweak()
  }
}

/** Each block is combined with the encrypted one before it, and a sector's first one with its vector. */
class Cbc implements Mode {
  readonly #aes: Aes

  constructor(key: Uint8Array) {
    this.#aes = new Aes(key)
  }

  /** The first blocks of all sectors, then the second ones, and so on: within a sector each waits for the one before. */
  encrypt({ slots, slot, at, length, sectorBytes, wipes }: Step): void {
    const { xor } = slots.xor
    const count = length / sectorBytes
    const [chain, zeros] = [slot + vectorsAt, slot + zerosAt]
    const blocks = slots.view(chain, 16 * count)
    for (let block = at; block < at + sectorBytes; block += 16) {
      xor(chain, 16, block, sectorBytes, chain, 16, count)
      replace(this.#aes.encryption, blocks, wipes)
      xor(chain, 16, zeros, 0, block, sectorBytes, count)
    }
  }

  decrypt({ slots, slot, at, length, sectorBytes, wipes }: Step): void {
    const { xor } = slots.xor
    const count = length / sectorBytes
    const [firsts, zeros] = [slot + vectorsAt, slot + zerosAt]
    const decrypted = slots.view(slot, length)
    replace(this.#aes.decryption, slots.view(at, length), wipes, decrypted)
    xor(slot, sectorBytes, firsts, 16, firsts, 16, count)
    xor(slot + 16, 16, at, 16, slot + 16, 16, length / 16 - 1)
    xor(firsts, 16, zeros, 0, slot, sectorBytes, count)
    slots.view(at, length).set(decrypted)
  }
}
