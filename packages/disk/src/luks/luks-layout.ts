import type { Layout, Refusal } from '@disk-image/core'

/** What `aes-xts-plain64` and its like mean. */
export interface LuksCipher {
  readonly mode: 'xts' | 'cbc'
  /** What the first vector of a sector is made of. */
  readonly vector: 'plain' | 'plain64' | 'essiv:sha256'
}

/** Every tool splits keys into this many stripes. */
export const luksStripes = 4000
/** Bytes of a header of version 1. */
export const luks1Bytes = 592
/** Most iterations that any key needs: deriving it takes as much time as the header says. */
export const mostIterations = 100_000_000

/** Hashes, as LUKS names them. */
export type LuksHash = 'sha1' | 'sha256' | 'sha384' | 'sha512'

/** PBKDF2's parameters. */
export interface Pbkdf2 {
  readonly type: 'pbkdf2'
  readonly hash: LuksHash
  readonly iterations: number
  readonly salt: Uint8Array
}

/** Argon2's parameters. */
export interface Argon2 {
  readonly type: 'argon2i' | 'argon2id'
  readonly passes: number
  readonly memoryBytes: number
  readonly lanes: number
  readonly salt: Uint8Array
}

/** How a passphrase becomes the key of a key slot. */
export type LuksKdf = Pbkdf2 | Argon2

/** One place where the volume's key is stored, encrypted by a passphrase. */
export interface LuksKeySlot {
  readonly id: number
  readonly kdf: LuksKdf
  /** Cipher of the stripes, whose key comes out of `kdf`. */
  readonly cipher: LuksCipher
  readonly cipherKeyBytes: number
  /** Byte of the file at which the stripes begin, and the hash that joins them. */
  readonly areaOffset: number
  readonly stripeHash: LuksHash
  /** What proves that a key is the volume's. */
  readonly digest: Pbkdf2 & { readonly value: Uint8Array }
}

/** A checksum that only a hash can tell of. */
export interface LuksChecksum {
  readonly hash: 'sha256' | 'sha512'
  /** What it is of. */
  readonly bytes: Uint8Array
  readonly value: Uint8Array
  readonly offset: number
}

/** What a LUKS header says. Where there are problems, any field may have any value. */
export interface LuksLayout extends Layout {
  readonly format: 'luks'
  readonly version: number
  /** `aes-xts-plain64` … */
  readonly cipherName: string
  /** Undefined for one that is not read here. */
  readonly cipher: LuksCipher | undefined
  readonly keyBytes: number
  /** Those in use that can be tried, in the order in which they are. */
  readonly slots: readonly LuksKeySlot[]
  /** Byte of the file at which the encrypted data begins; `sizeBytes` of it are the disk. */
  readonly payloadOffset: number
  readonly sectorBytes: number
  /** Added to the number of each sector, which counts 512 bytes. */
  readonly vectorOffset: number
  /** Still to be compared, before anything else is believed. */
  readonly checksums: readonly LuksChecksum[]
  /** Why its data is not read here, though nothing is wrong with it. */
  readonly unsupported: readonly Refusal[]
  /** The same of key slots in use: where another one opens, they don't matter. */
  readonly otherSlots: readonly Refusal[]
}

/** A layout that says nothing yet. */
export const nothing: Omit<LuksLayout, 'version'> = {
  format: 'luks',
  sizeBytes: 0,
  cipherName: '',
  cipher: undefined,
  keyBytes: 0,
  slots: [],
  payloadOffset: 0,
  sectorBytes: 512,
  vectorOffset: 0,
  checksums: [],
  unsupported: [],
  otherSlots: [],
  problems: [],
}
