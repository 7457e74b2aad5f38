import type { RandomAccessReader } from '@disk-image/core'
import { Fields } from '@disk-image/disk/layouts'
import { startsAsLuks } from '../formats/luks.ts'
import { inspect, type InspectOptions } from '../inspect.ts'
import { readFully } from '../read-fully.ts'
import { luks1HeaderBytes, parseLuks1 } from './luks1-header.ts'
import { readLuks2Metadata } from './luks2-header.ts'
import { parseLuks2 } from './luks2-volume.ts'
import { PayloadReader } from './payload-reader.ts'
import { LuksProblem } from './problem.ts'
import type { LuksPayloadResult } from './result.ts'
import { createSectorCipher } from './sector-cipher.ts'
import { checkWork, unlock } from './unlock.ts'
import type { LuksVolume } from './volume.ts'

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
  try {
    if (globalThis.crypto?.subtle === undefined) {
      throw new LuksProblem('unsupported', { reason: 'There is no Web Crypto here to derive keys with' })
    }
    const volume = await readVolume(reader, signal)
    checkWork(volume, maxIterations)
    const { key, keySlot } = await unlock(reader, volume, secret, signal)
    const cipher = await createSectorCipher(volume.cipher, key)
    key.fill(0)
    const inspection = await inspect(new PayloadReader(reader, volume, cipher, signal), { signal })
    return {
      outcome: 'inspected',
      safe: inspection.safe,
      inspection,
      version: volume.version,
      keySlot,
      cipher: volume.cipherName,
      payloadOffsetBytes: volume.payloadOffset,
    }
  } catch (error) {
    if (error instanceof LuksProblem) return error.result
    throw error
  }
}

async function readVolume(reader: RandomAccessReader, signal: AbortSignal | undefined): Promise<LuksVolume> {
  const head = new Fields(await readFully(reader, 0, luks1HeaderBytes, signal))
  if (!startsAsLuks(head)) throw new LuksProblem('not-luks', { reason: 'The bytes are no LUKS container' })
  const version = head.u16be(6)
  if (version === 1) return parseLuks1(head, reader.size)
  if (version === 2) return parseLuks2(await readLuks2Metadata(reader, head, signal), reader.size)
  throw new LuksProblem('unsupported', {
    reason: 'This version of LUKS is not known',
    offset: 6,
    found: `${version}`,
    accepted: '1, 2',
  })
}
