import { InvalidError } from '@disk-image/core'
import type { LuksEncodeOptions } from '../encode/encode-options.ts'
import type { LuksCipher } from './luks-layout.ts'
import { activeSlot, inactiveSlot } from './layout-1.ts'
import { type LuksHash, type LuksKdf, luks1Bytes, luksStripes, type Pbkdf2 } from './luks-layout.ts'
import { measureArgon2, measurePbkdf2 } from './measure-kdf.ts'
import { luksCrypto } from './node-crypto.ts'
import { createSectorCipher } from './sector-cipher.ts'
import { hashBytes, mergeStripes, orAbort } from './unlock.ts'

/** What a container is to be. */
export interface LuksShape {
  readonly version: 1 | 2
  readonly cipherName: string
  readonly cipher: LuksCipher
  readonly keyBytes: number
  readonly hash: LuksHash
  readonly sectorBytes: number
}

/** A container's first bytes, up to the end of its key slot's material. */
export interface WrittenHeader {
  readonly header: Uint8Array
  /** Of the volume; the caller wipes it. */
  readonly key: Uint8Array
  /** Where the encrypted disk begins. */
  readonly payloadOffset: number
}

const pageBytes = 4096
/** Least that the format has for any PBKDF2. */
export const leastIterations = 1000
const saltBytes = 32
/** Of each of both headers of version 2. */
const header2Bytes = 16 * 1024
/** Where cryptsetup puts the disk of version 2: room for many key slots, and on the boundary of any device's blocks. */
const payload2Offset = 16 * 1024 ** 2

/** Makes a new key, and the header in which it is stored under a passphrase. */
export async function writeLuksHeader(
  shape: LuksShape,
  options: LuksEncodeOptions,
  signal: AbortSignal | undefined,
): Promise<WrittenHeader> {
  const { random = randomBytes } = options
  const key = random(shape.keyBytes)
  try {
    const { version, keyBytes, hash } = shape
    const materialBytes = keyBytes * luksStripes
    const areaBytes = Math.ceil(materialBytes / pageBytes) * pageBytes
    const areaOffset = version === 1 ? pageBytes : 2 * header2Bytes
    const kdf = await chooseKdf(shape, options, random, signal)
    const material = await sealKey(shape, { key, kdf, passphrase: options.passphrase, random, signal })
    const proof: Pbkdf2 = {
      type: 'pbkdf2',
      hash,
      iterations: kdf.type === 'pbkdf2' ? Math.max(leastIterations, Math.floor(kdf.iterations / 8)) : 100_000,
      salt: random(saltBytes),
    }
    const digestBytes = version === 1 ? 20 : hashBytes[hash]
    const digest = await orAbort(luksCrypto().derive(key, proof, digestBytes), signal)
    const made = { shape, kdf, areaBytes, proof, digest, uuid: uuidOf(random(16)) }
    const header = new Uint8Array(areaOffset + areaBytes)
    header.set(material, areaOffset)
    if (version === 1) header.set(header1(made))
    else for (const at of [0, header2Bytes]) header.set(header2(made, at, random(64)), at)
    return { header, key, payloadOffset: version === 1 ? pageBytes + 8 * areaBytes : payload2Offset }
  } catch (error) {
    key.fill(0)
    throw error
  }
}

function randomBytes(bytes: number): Uint8Array {
  const { randomFillSync } = process.getBuiltinModule('node:crypto')
  return randomFillSync(new Uint8Array(bytes))
}

/** @see https://www.rfc-editor.org/rfc/rfc9562#section-5.4 */
function uuidOf(bytes: Uint8Array): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return Buffer.from(bytes)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

async function chooseKdf(
  { version, keyBytes, hash }: LuksShape,
  options: LuksEncodeOptions,
  random: (bytes: number) => Uint8Array,
  signal: AbortSignal | undefined,
): Promise<LuksKdf> {
  const hasArgon2 = luksCrypto().kdfs.includes('argon2id')
  const { keyDerivation = version === 2 && hasArgon2 ? 'argon2id' : 'pbkdf2', keyDerivationMs = 2000 } =
    options
  if (!Number.isSafeInteger(keyDerivationMs) || keyDerivationMs < 1 || keyDerivationMs > 60_000) {
    throw new InvalidError({
      reason: `keyDerivationMs must be a whole number from 1 to 60000, not ${keyDerivationMs}`,
    })
  }
  const salt = random(saltBytes)
  if (keyDerivation === 'pbkdf2') {
    const iterations = options.iterations ?? (await measurePbkdf2(hash, keyBytes, keyDerivationMs, signal))
    if (iterations >= leastIterations) return { type: 'pbkdf2', hash, iterations, salt }
    throw new InvalidError({
      reason: `The format wants ${leastIterations} iterations at least, not ${iterations}.`,
    })
  }
  if (version === 2 && hasArgon2) return measureArgon2(options.memoryBytes, keyDerivationMs, salt, signal)
  throw new InvalidError({
    reason:
      version === 1
        ? 'LUKS 1 knows no key derivation but pbkdf2.'
        : 'This Node.js has no argon2id: 24.7 has it.',
  })
}

interface Sealing {
  readonly key: Uint8Array
  readonly kdf: LuksKdf
  readonly passphrase: Uint8Array
  readonly random: (bytes: number) => Uint8Array
  readonly signal: AbortSignal | undefined
}

/** Splits the key into stripes, so that losing any of them loses it, and encrypts them under the passphrase. */
async function sealKey(
  { cipher, keyBytes, hash }: LuksShape,
  { key, kdf, passphrase, random, signal }: Sealing,
): Promise<Uint8Array> {
  const crypto = luksCrypto()
  const length = keyBytes * luksStripes
  const material = new Uint8Array(Math.ceil(length / 512) * 512)
  const slotKey = await orAbort(crypto.derive(passphrase, kdf, keyBytes), signal)
  try {
    signal?.throwIfAborted()
    material.set(random(length - keyBytes))
    // With a last stripe of zeros they join to what the last one has to be combined with.
    const joined = await mergeStripes(material.subarray(0, length), keyBytes, hash, crypto, signal)
    for (let index = 0; index < keyBytes; index += 1) {
      material[length - keyBytes + index] = joined[index]! ^ key[index]!
    }
    joined.fill(0)
    createSectorCipher(cipher, slotKey).run('encrypt', material, { first: 0, sectorBytes: 512 })
    return material
  } catch (error) {
    material.fill(0)
    throw error
  } finally {
    slotKey.fill(0)
  }
}

interface Made {
  readonly shape: LuksShape
  readonly kdf: LuksKdf
  readonly areaBytes: number
  readonly proof: Pbkdf2
  readonly digest: Uint8Array
  readonly uuid: string
}

/** @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf */
function header1({ shape, kdf, areaBytes, proof, digest, uuid }: Made): Uint8Array {
  const bytes = Buffer.alloc(luks1Bytes)
  const dash = shape.cipherName.indexOf('-')
  bytes.write('LUKS\u00ba\u00be', 0, 'latin1')
  bytes.writeUInt16BE(1, 6)
  bytes.write(shape.cipherName.slice(0, dash), 8)
  bytes.write(shape.cipherName.slice(dash + 1), 40)
  bytes.write(shape.hash, 72)
  bytes.writeUInt32BE((pageBytes + 8 * areaBytes) / 512, 104)
  bytes.writeUInt32BE(shape.keyBytes, 108)
  bytes.set(digest, 112)
  bytes.set(proof.salt, 132)
  bytes.writeUInt32BE(proof.iterations, 164)
  bytes.write(uuid, 168)
  for (let slot = 0; slot < 8; slot += 1) {
    const at = 208 + slot * 48
    const isUsed = slot === 0 && kdf.type === 'pbkdf2'
    bytes.writeUInt32BE(isUsed ? activeSlot : inactiveSlot, at)
    bytes.writeUInt32BE(isUsed ? kdf.iterations : 0, at + 4)
    if (isUsed) bytes.set(kdf.salt, at + 8)
    bytes.writeUInt32BE((pageBytes + slot * areaBytes) / 512, at + 40)
    bytes.writeUInt32BE(luksStripes, at + 44)
  }
  return bytes
}

/** @see https://gitlab.com/cryptsetup/LUKS2-docs */
function header2(made: Made, offset: number, salt: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(header2Bytes)
  bytes.write(offset === 0 ? 'LUKS\u00ba\u00be' : 'SKUL\u00ba\u00be', 0, 'latin1')
  bytes.writeUInt16BE(2, 6)
  bytes.writeBigUInt64BE(BigInt(header2Bytes), 8)
  bytes.writeBigUInt64BE(1n, 16)
  bytes.write('sha256', 72)
  bytes.set(salt, 104)
  bytes.write(made.uuid, 168)
  bytes.writeBigUInt64BE(BigInt(offset), 256)
  bytes.write(JSON.stringify(metadataOf(made)), pageBytes)
  const { createHash } = process.getBuiltinModule('node:crypto')
  bytes.set(createHash('sha256').update(bytes).digest(), 448)
  return bytes
}

function metadataOf({ shape, kdf, areaBytes, proof, digest }: Made): object {
  const { cipherName, keyBytes, hash, sectorBytes } = shape
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
  const derivation =
    kdf.type === 'pbkdf2'
      ? { type: kdf.type, hash: kdf.hash, iterations: kdf.iterations }
      : { type: kdf.type, time: kdf.passes, memory: kdf.memoryBytes / 1024, cpus: kdf.lanes }
  return {
    keyslots: {
      0: {
        type: 'luks2',
        key_size: keyBytes,
        af: { type: 'luks1', stripes: luksStripes, hash },
        area: {
          type: 'raw',
          offset: `${2 * header2Bytes}`,
          size: `${areaBytes}`,
          encryption: cipherName,
          key_size: keyBytes,
        },
        kdf: { ...derivation, salt: base64(kdf.salt) },
      },
    },
    tokens: {},
    segments: {
      0: {
        type: 'crypt',
        offset: `${payload2Offset}`,
        size: 'dynamic',
        iv_tweak: '0',
        encryption: cipherName,
        sector_size: sectorBytes,
      },
    },
    digests: {
      0: {
        type: 'pbkdf2',
        keyslots: ['0'],
        segments: ['0'],
        hash,
        iterations: proof.iterations,
        salt: base64(proof.salt),
        digest: base64(digest),
      },
    },
    config: {
      json_size: `${header2Bytes - pageBytes}`,
      keyslots_size: `${payload2Offset - 2 * header2Bytes}`,
    },
  }
}
