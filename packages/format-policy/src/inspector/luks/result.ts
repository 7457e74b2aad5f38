import type { InspectionResult } from '../result.ts'

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
