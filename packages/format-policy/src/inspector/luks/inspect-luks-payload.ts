import type { RandomAccessReader, Refusal } from '@disk-image/core'
import {
  Fields,
  LuksRefusal,
  readFully,
  readLuksLayout,
  startsAsLuks,
  unlockLuks,
} from '@disk-image/disk/layouts'
import { inspect, type InspectOptions } from '../inspect.ts'
import { PayloadReader } from './payload-reader.ts'
import type { LuksPayloadNotSeen, LuksPayloadResult } from './result.ts'
import { createSectorCipher } from './sector-cipher.ts'
import { webCrypto } from './web-crypto.ts'

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
