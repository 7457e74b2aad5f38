import type { RandomAccessReader, Refusal } from '@disk-image/core'
import { readFully } from '../layouts/fields.ts'
import { notRead } from './cipher-name.ts'
import { luksHeadBytes, parseLuks } from './layout.ts'
import {
  type LuksCipher,
  type LuksHash,
  type LuksKdf,
  type LuksKeySlot,
  type LuksLayout,
  luksStripes,
} from './luks-layout.ts'

/** What of cryptography a container is opened with: Node.js', or a browser's. */
export interface LuksCrypto {
  /** Key derivations that there are. */
  readonly kdfs: readonly LuksKdf['type'][]
  digest(hash: LuksHash, bytes: Uint8Array): Promise<Uint8Array>
  derive(secret: Uint8Array, kdf: LuksKdf, keyBytes: number): Promise<Uint8Array>
  /** Decrypts sectors of 512 bytes in place, of which the first one has the number 0. */
  decrypt(cipher: LuksCipher, key: Uint8Array, bytes: Uint8Array): Promise<void>
}

/** Most work that all key slots together may ask for. */
export interface LuksLimits {
  /** Runs of PBKDF2's hash; some tens of seconds by default. @default 200_000_000 */
  readonly maxIterations?: number | undefined
  /** Memory that Argon2 takes. @default 1 GiB */
  readonly maxMemoryBytes?: number | undefined
}

/** Memory times passes that all slots with Argon2 together may ask for: about a minute. */
const mostArgon2Bytes = 128 * 1024 ** 3

/** Why a container can't be opened. */
export class LuksRefusal extends Error {
  readonly refusal: Refusal

  constructor(refusal: Refusal) {
    super(refusal.reason)
    this.name = 'LuksRefusal'
    this.refusal = refusal
  }
}

/**
 * Reads and parses a container's header, and compares its checksums.
 *
 * Rejects with what the reader rejects with, and with the signal's reason after an abort.
 *
 * @throws {LuksRefusal} for the first problem, and for what is not read here
 */
export async function readLuksLayout(
  reader: RandomAccessReader,
  crypto: LuksCrypto,
  signal?: AbortSignal,
): Promise<LuksLayout> {
  const start = await readFully(reader, 0, 4096, signal)
  const needed = luksHeadBytes(start)
  const head = needed <= start.length ? start : await readFully(reader, 0, needed, signal)
  const layout = parseLuks(head, reader.size)
  for (const { hash, bytes, value, offset } of layout.checksums) {
    const sum = await crypto.digest(hash, bytes)
    signal?.throwIfAborted()
    if (isSame(sum, value)) continue
    const accepted = 'a container that `cryptsetup repair` has repaired'
    throw new LuksRefusal({
      rule: 'luks-header',
      reason: 'The checksum of the header is wrong',
      offset,
      accepted,
    })
  }
  const [problem] = [...layout.problems, ...layout.unsupported]
  if (problem !== undefined) throw new LuksRefusal(problem)
  return layout
}

/**
 * Tries every key slot.
 *
 * @returns the volume's key, which the caller wipes, and the slot that it came from
 * @throws {LuksRefusal} `luks-passphrase` where none opens, `luks-key-derivation` where that takes too much work,
 * `luks-unsupported` where none opens and some could not be tried
 */
export async function unlockLuks(
  reader: RandomAccessReader,
  layout: LuksLayout,
  passphrase: Uint8Array,
  crypto: LuksCrypto,
  options: LuksLimits & { readonly signal?: AbortSignal | undefined } = {},
): Promise<{ readonly key: Uint8Array; readonly keySlot: number }> {
  const { signal } = options
  signal?.throwIfAborted()
  const slots = layout.slots.filter(({ kdf }) => crypto.kdfs.includes(kdf.type))
  checkWork(slots, options)
  for (const slot of slots) {
    const key = await openSlot(reader, slot, layout.keyBytes, passphrase, crypto, signal)
    if (key !== undefined) return { key, keySlot: slot.id }
  }
  const [other] = layout.otherSlots
  if (other !== undefined) throw new LuksRefusal(other)
  const missing = layout.slots.find(({ kdf }) => !crypto.kdfs.includes(kdf.type))
  if (missing !== undefined) {
    const reason = 'The key derivation is not available here'
    throw new LuksRefusal(notRead(reason, missing.kdf.type, crypto.kdfs.join(', '), 4096))
  }
  throw new LuksRefusal({
    rule: 'luks-passphrase',
    reason: 'The passphrase opens none of the key slots',
    found: `${slots.length} key slots in use`,
    accepted: 'the passphrase of one of them, byte for byte: an end of line belongs to it',
  })
}

/** Refuses before any work what would take too much of it. */
function checkWork(slots: readonly LuksKeySlot[], limits: LuksLimits): void {
  const { maxIterations = 200_000_000, maxMemoryBytes = 1024 ** 3 } = limits
  let iterations = 0
  let argon2Bytes = 0
  for (const { kdf, cipherKeyBytes, digest } of slots) {
    iterations += digest.iterations * Math.ceil(digest.value.length / hashBytes[digest.hash])
    if (kdf.type === 'pbkdf2') {
      iterations += kdf.iterations * Math.ceil(cipherKeyBytes / hashBytes[kdf.hash])
      continue
    }
    argon2Bytes += kdf.memoryBytes * kdf.passes
    if (kdf.memoryBytes > maxMemoryBytes) {
      throw tooCostly('memory', `${kdf.memoryBytes} bytes`, `at most ${maxMemoryBytes} bytes`)
    }
  }
  if (iterations > maxIterations) {
    throw tooCostly('work', `${iterations} iterations`, `at most ${maxIterations}`)
  }
  if (argon2Bytes > mostArgon2Bytes) {
    throw tooCostly('work', `${argon2Bytes} bytes, times passes`, `at most ${mostArgon2Bytes}`)
  }
}

function tooCostly(what: string, found: string, accepted: string): LuksRefusal {
  const reason = `The key slots ask for more ${what} than allowed`
  return new LuksRefusal({ rule: 'luks-key-derivation', reason, found, accepted })
}

/** Bytes of each hash. */
export const hashBytes: Readonly<Record<LuksHash, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }

async function openSlot(
  reader: RandomAccessReader,
  slot: LuksKeySlot,
  keyBytes: number,
  passphrase: Uint8Array,
  crypto: LuksCrypto,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const length = keyBytes * luksStripes
  const material = new Uint8Array(Math.ceil(length / 512) * 512)
  material.set(await readFully(reader, slot.areaOffset, material.length, signal))
  const slotKey = await orAbort(crypto.derive(passphrase, slot.kdf, slot.cipherKeyBytes), signal)
  try {
    await crypto.decrypt(slot.cipher, slotKey, material)
    const key = await mergeStripes(material.subarray(0, length), keyBytes, slot.stripeHash, crypto, signal)
    const { digest } = slot
    const proof = await orAbort(crypto.derive(key, digest, digest.value.length), signal)
    if (isSame(proof, digest.value)) return key
    key.fill(0)
    return undefined
  } finally {
    slotKey.fill(0)
    material.fill(0)
  }
}

/** In a time that doesn't tell where they differ. */
function isSame(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length < other.length ? 1 : 0
  for (const [index, byte] of other.entries()) difference |= byte ^ (one[index] ?? 0)
  return difference === 0
}

/**
 * Joins the stripes that a key was split into.
 *
 * @param material stripes of `keyBytes` each
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf section 2.4
 */
export async function mergeStripes(
  material: Uint8Array,
  keyBytes: number,
  hash: LuksHash,
  crypto: LuksCrypto,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const last = material.length - keyBytes
  let key: Uint8Array = new Uint8Array(keyBytes)
  for (let at = 0; at < material.length; at += keyBytes) {
    signal?.throwIfAborted()
    for (let index = 0; index < keyBytes; index += 1) key[index] = key[index]! ^ material[at + index]!
    if (at < last) key = await diffuse(key, hash, crypto)
  }
  return key
}

/** Replaces each hash length of a key by the hash of its number and itself. */
async function diffuse(key: Uint8Array, hash: LuksHash, crypto: LuksCrypto): Promise<Uint8Array> {
  const step = hashBytes[hash]
  const mixed = new Uint8Array(key.length)
  for (let at = 0; at < key.length; at += step) {
    const part = key.subarray(at, at + step)
    const numbered = new Uint8Array(4 + part.length)
    new DataView(numbered.buffer).setUint32(0, at / step)
    numbered.set(part, 4)
    const sum = await crypto.digest(hash, numbered)
    mixed.set(sum.subarray(0, part.length), at)
    numbered.fill(0)
  }
  key.fill(0)
  return mixed
}

/** The work goes on for a while after an abort, but nobody waits for it. */
export async function orAbort<Result>(
  work: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return await work
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
