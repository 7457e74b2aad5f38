import type { HashName, Pbkdf2 } from './key-derivation.ts'
import type { CipherName } from './sector-cipher.ts'

/** Every tool splits keys into this many stripes. */
export const stripes = 4000

/** One place where the volume's key lies, encrypted by a passphrase. */
export interface KeySlot {
  readonly id: number
  readonly kdf: Pbkdf2
  /** Cipher of the stripes, whose key comes out of `kdf`. */
  readonly cipher: CipherName
  readonly cipherKeyBytes: number
  /** Where the stripes lie, and the hash they are joined by. */
  readonly areaOffset: number
  readonly stripeHash: HashName
  /** What proves that a key is the volume's. */
  readonly digest: { readonly kdf: Pbkdf2; readonly value: Uint8Array }
}

/** What a header says, checked. */
export interface LuksVolume {
  readonly version: 1 | 2
  readonly cipherName: string
  readonly cipher: CipherName
  readonly keyBytes: number
  readonly slots: readonly KeySlot[]
  /** Key derivations of slots that cannot be tried here. */
  readonly otherKdfs: readonly string[]
  readonly payloadOffset: number
  readonly payloadBytes: number
  readonly sectorBytes: number
  /** Added to the number of each sector, which counts 512 bytes. */
  readonly vectorOffset: number
}
