import type { RandomAccessReader, Refusal } from '@disk-image/core'
import {
  Fields,
  LuksRefusal,
  readFully,
  readLuksLayout,
  startsAsLuks,
  unlockLuks,
  type LuksCrypto,
  type Pbkdf2,
  type LuksLayout,
} from '@disk-image/disk/layouts'
import { inspect, type InspectOptions } from '../inspect.ts'
import { createSectorCipher, digest, webNames, type SectorCipher } from './sector-cipher.ts'
import type { InspectionResult } from '../result.ts'

/** Options of {@link inspectLuksPayload}. */
export interface InspectLuksPayloadOptions extends InspectOptions {
  /**
   * Most runs of the hash that all key slots together may ask for; some seconds of work by default.
   *
   * @default 50_000_000
   */
  readonly maxIterations?: number | undefined
}

/**
 * Opens a LUKS container with a passphrase and judges the disk inside as {@link inspect} does. LUKS 1, and
 * LUKS 2 with key slots by PBKDF2; AES in XTS and CBC. It decrypts only the sectors that the judgement needs,
 * in memory, and says so where it could not look: only `outcome: 'inspected'` says anything of the inside.
 *
 * A text passphrase is taken as UTF-8. Rejects with what the reader rejects with, and with the signal's
 * reason after an abort.
 *
 * @example
 * const result = await inspectLuksPayload(reader, passphrase)
 * if (!result.safe) throw new Error(result.outcome)
 */
export async function inspectLuksPayload(
  reader: RandomAccessReader,
  passphrase: Uint8Array | string,
  options: InspectLuksPayloadOptions = {},
): Promise<LuksPayloadResult> {
  const { signal, maxIterations = 50_000_000 } = options
  const secret = typeof passphrase === 'string' ? new TextEncoder().encode(passphrase) : passphrase
  signal?.throwIfAborted()
  if (globalThis.crypto?.subtle === undefined) {
    return notSeen('unsupported', { reason: 'There is no Web Crypto here to derive keys with' })
  }
  const start = new Fields(await readFully(reader, 0, 8, signal))
  if (!startsAsLuks(start)) return notSeen('not-luks', { reason: 'The bytes are no LUKS container' })
  try {
    const layout = await readLuksLayout(reader, webCrypto, signal)
    const { key, keySlot } = await unlockLuks(reader, layout, secret, webCrypto, { signal, maxIterations })
    const { cipher, cipherName, version, payloadOffset } = layout
    // A layout without problems has one.
    const sectors = await createSectorCipher(cipher!, key)
    key.fill(0)
    const inspection = await inspect(new PayloadReader(reader, layout, sectors, signal), { signal })
    return {
      outcome: 'inspected',
      safe: inspection.safe,
      inspection,
      version: version as 1 | 2,
      keySlot,
      cipher: cipherName,
      payloadOffsetBytes: payloadOffset,
    }
  } catch (error) {
    if (!(error instanceof LuksRefusal)) throw error
    return notSeen(outcomeOf(error.refusal), error.refusal)
  }
}

function notSeen(
  outcome: LuksPayloadNotSeen['outcome'],
  { reason, offset, found, accepted }: Omit<Refusal, 'rule'>,
): LuksPayloadNotSeen {
  return { outcome, safe: false, reason, offset, found, accepted }
}

function outcomeOf({ rule, found }: Refusal): LuksPayloadNotSeen['outcome'] {
  if (rule === 'luks-passphrase') return 'wrong-passphrase'
  if (rule === 'luks-unsupported' || rule === 'luks-version') return 'unsupported'
  if (rule === 'luks-key-derivation' && found !== '0 iterations') return 'too-costly'
  return 'malformed'
}

/** What a browser has. */
const webCrypto: LuksCrypto = {
  kdfs: ['pbkdf2'],
  digest,
  derive: (secret, kdf, keyBytes) => derive(secret, kdf as Pbkdf2, keyBytes),
  async decrypt(cipher, key, bytes) {
    ;(await createSectorCipher(cipher, key)).decrypt(bytes, 0, 512)
  },
}

async function derive(secret: Uint8Array, kdf: Pbkdf2, keyBytes: number): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey('raw', new Uint8Array(secret), 'PBKDF2', false, ['deriveBits'])
  const { iterations } = kdf
  const algorithm = { name: 'PBKDF2', hash: webNames[kdf.hash], salt: new Uint8Array(kdf.salt), iterations }
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 8 * keyBytes))
}

/** Most that is decrypted at once; longer reads get a shorter answer. */
const mostBytes = 1024 * 1024

/** The disk inside a container: reads and decrypts only the sectors asked for. */
class PayloadReader implements RandomAccessReader {
  readonly size: number
  readonly #reader: RandomAccessReader
  readonly #layout: LuksLayout
  readonly #cipher: SectorCipher
  readonly #signal: AbortSignal | undefined

  constructor(
    reader: RandomAccessReader,
    layout: LuksLayout,
    cipher: SectorCipher,
    signal: AbortSignal | undefined,
  ) {
    this.size = layout.sizeBytes
    this.#reader = reader
    this.#layout = layout
    this.#cipher = cipher
    this.#signal = signal
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { sectorBytes, payloadOffset, vectorOffset } = this.#layout
    const start = Math.floor(offset / sectorBytes) * sectorBytes
    const end = Math.min(offset + length, this.size, start + mostBytes)
    if (end <= offset) return new Uint8Array(0)
    const span = Math.ceil((end - start) / sectorBytes) * sectorBytes
    // A copy: the bytes are decrypted in place, and a reader may keep its own.
    const read = new Uint8Array(await readFully(this.#reader, payloadOffset + start, span, this.#signal))
    const bytes = read.subarray(0, Math.floor(read.length / sectorBytes) * sectorBytes)
    this.#cipher.decrypt(bytes, vectorOffset + start / 512, sectorBytes)
    return bytes.subarray(offset - start, end - start)
  }
}

/** The container was opened and its inside judged. */
export interface LuksPayloadInspected {
  readonly outcome: 'inspected'
  /** As in {@link LuksPayloadInspected.inspection}. */
  readonly safe: boolean
  /** What {@link inspect} says of the decrypted bytes. */
  readonly inspection: InspectionResult
  /** LUKS version of the container. */
  readonly version: 1 | 2
  /** The key slot that the passphrase opened. */
  readonly keySlot: number
  /** `aes-xts-plain64` … */
  readonly cipher: string
  /** Bytes from the start of the file to the encrypted data. Offsets in `inspection` count from there. */
  readonly payloadOffsetBytes: number
}

/** The inside was not looked at, so nothing is known about it. */
export interface LuksPayloadNotSeen {
  /**
   * - `wrong-passphrase`: it opens none of the key slots.
   * - `unsupported`: a cipher, hash or key derivation (argon2) that is not known here.
   * - `too-costly`: the header asks for more iterations than allowed.
   * - `malformed`: the header is damaged or made up.
   * - `not-luks`: the bytes are no LUKS container.
   */
  readonly outcome: 'wrong-passphrase' | 'unsupported' | 'too-costly' | 'malformed' | 'not-luks'
  readonly safe: false
  /** One sentence. */
  readonly reason: string
  /** Byte offset into the file of what was found. */
  readonly offset?: number | undefined
  /** What was found, printable, never longer than a line. */
  readonly found?: string | undefined
  /** What would pass. */
  readonly accepted?: string | undefined
}

/** Outcome of {@link inspectLuksPayload}; `safe` is true only of an inside that was seen and is safe. */
export type LuksPayloadResult = LuksPayloadInspected | LuksPayloadNotSeen
