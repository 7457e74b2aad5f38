import type { RandomAccessReader } from '@disk-image/core'
import { readFully } from '../read-fully.ts'
import { deriveKey, mergeStripes, workOf } from './key-derivation.ts'
import { LuksProblem, malformed } from './problem.ts'
import { createSectorCipher } from './sector-cipher.ts'
import { type KeySlot, type LuksVolume, stripes } from './volume.ts'

/** What Web Crypto's implementations count iterations with. */
const mostOfOne = 2 ** 31 - 1

/** Refuses before any work what would take too much of it. */
export function checkWork(volume: LuksVolume, maxIterations: number): void {
  let work = 0
  for (const { kdf, cipherKeyBytes, digest } of volume.slots) {
    for (const { iterations } of [kdf, digest.kdf]) {
      if (iterations === 0) throw malformed('A key is derived with no iterations', { found: '0' })
      if (iterations > mostOfOne) work = Number.POSITIVE_INFINITY
    }
    work += workOf(kdf, cipherKeyBytes) + workOf(digest.kdf, digest.value.length)
  }
  if (work <= maxIterations) return
  throw new LuksProblem('too-costly', {
    reason: 'The key slots ask for more work than allowed, which would keep a processor busy',
    found: Number.isFinite(work) ? `${work} iterations` : `over ${mostOfOne} iterations`,
    accepted: `at most ${maxIterations}`,
  })
}

/**
 * Tries every slot.
 *
 * @returns the volume's key, and the slot it came from
 * @throws {LuksProblem} `wrong-passphrase` if none opens, `unsupported` if others could not be tried
 */
export async function unlock(
  reader: RandomAccessReader,
  volume: LuksVolume,
  passphrase: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<{ readonly key: Uint8Array; readonly keySlot: number }> {
  for (const slot of volume.slots) {
    const key = await openSlot(reader, slot, volume.keyBytes, passphrase, signal)
    if (key !== undefined) return { key, keySlot: slot.id }
  }
  const [other] = volume.otherKdfs
  if (other !== undefined) {
    throw new LuksProblem('unsupported', {
      reason: 'This key derivation is not supported here, so the inside was not looked at',
      found: other,
      accepted: 'pbkdf2',
    })
  }
  throw new LuksProblem('wrong-passphrase', {
    reason: 'The passphrase opens none of the key slots',
    found: `${volume.slots.length} key slots in use`,
  })
}

async function openSlot(
  reader: RandomAccessReader,
  slot: KeySlot,
  keyBytes: number,
  passphrase: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const length = keyBytes * stripes
  const material = new Uint8Array(Math.ceil(length / 512) * 512)
  material.set(await readFully(reader, slot.areaOffset, material.length, signal))
  const slotKey = await deriveKey(passphrase, slot.kdf, slot.cipherKeyBytes, signal)
  const cipher = await createSectorCipher(slot.cipher, slotKey)
  cipher.decrypt(material, 0, 512)
  slotKey.fill(0)
  const key = await mergeStripes(material.subarray(0, length), keyBytes, slot.stripeHash, signal)
  material.fill(0)
  const proof = await deriveKey(key, slot.digest.kdf, slot.digest.value.length, signal)
  let difference = 0
  for (const [index, byte] of proof.entries()) difference |= byte ^ slot.digest.value[index]!
  if (difference === 0) return key
  key.fill(0)
  return undefined
}
