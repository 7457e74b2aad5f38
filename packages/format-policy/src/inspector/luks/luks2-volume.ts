import { parseHash, type Pbkdf2 } from './key-derivation.ts'
import type { Luks2Metadata } from './luks2-header.ts'
import { LuksProblem, malformed } from './problem.ts'
import { parseCipher } from './sector-cipher.ts'
import { type KeySlot, type LuksVolume, stripes } from './volume.ts'

type Entries = Readonly<Record<string, unknown>>

const mostSlots = 32

function entries(value: unknown, name: string): Entries {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Entries
  throw malformed(`The metadata has no ${name}`, { offset: 4096 })
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string' && value.length <= 1024) return value
  throw malformed(`The metadata has no text for ${name}`, { offset: 4096 })
}

function whole(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw malformed(`The metadata has no number for ${name}`, { offset: 4096 })
}

/** Numbers of 64 bits are written as text. */
function bytes(value: unknown, name: string): number {
  const digits = text(value, name)
  const number = /^[0-9]{1,16}$/.test(digits) ? Number(digits) : Number.NaN
  if (Number.isSafeInteger(number)) return number
  throw malformed(`The metadata has no possible ${name}`, { offset: 4096, found: digits })
}

function base64(value: unknown, name: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text(value, name)), (character) => character.charCodeAt(0))
  } catch {
    throw malformed(`The metadata has no base64 for ${name}`, { offset: 4096 })
  }
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function unsupported(reason: string, found: string, accepted: string): LuksProblem {
  return new LuksProblem('unsupported', { reason, found, accepted, offset: 4096 })
}

/**
 * Makes sense of version 2 metadata.
 *
 * @throws {LuksProblem} for what is damaged, made up or not supported
 * @see https://gitlab.com/cryptsetup/LUKS2-docs
 */
export function parseLuks2(metadata: Luks2Metadata, fileBytes: number): LuksVolume {
  const root = entries(metadata.json, 'object')
  const config = entries(root['config'], 'config')
  if (config['requirements'] !== undefined) {
    const mandatory = list(entries(config['requirements'], 'requirements')['mandatory'])
    if (mandatory.length > 0) {
      throw unsupported(
        'The volume needs a feature that is not supported here',
        text(mandatory[0], 'requirement'),
        'none',
      )
    }
  }
  const segment = onlySegment(root)
  const sectorBytes = whole(segment.fields['sector_size'], 'sector_size')
  const payloadOffset = bytes(segment.fields['offset'], 'offset')
  if (![512, 1024, 2048, 4096].includes(sectorBytes)) {
    throw malformed('The sectors have no possible length', { offset: 4096, found: `${sectorBytes}` })
  }
  if (payloadOffset % 512 !== 0 || payloadOffset < metadata.headerBytes || payloadOffset > fileBytes) {
    throw malformed('The encrypted data is not in the file', { offset: 4096, found: `${payloadOffset}` })
  }
  const slots = keySlots(root, segment.id, metadata.headerBytes, payloadOffset)
  const keyBytes = slots.keyBytes ?? 0
  const cipherName = text(segment.fields['encryption'], 'encryption')
  return {
    version: 2,
    cipherName,
    // Without a slot that can be tried, no cipher is needed either.
    cipher:
      slots.tried.length > 0 ? parseCipher(cipherName, keyBytes, 4096) : { mode: 'xts', vector: 'plain64' },
    keyBytes,
    slots: slots.tried,
    otherKdfs: slots.otherKdfs,
    payloadOffset,
    payloadBytes: payloadLength(segment.fields, fileBytes - payloadOffset, sectorBytes),
    sectorBytes,
    vectorOffset: bytes(segment.fields['iv_tweak'], 'iv_tweak'),
  }
}

function onlySegment(root: Entries): { readonly id: string; readonly fields: Entries } {
  const segments = Object.entries(entries(root['segments'], 'segments'))
  const [id, value] = segments[0] ?? []
  const fields = entries(value, 'segment')
  if (id === undefined || segments.length !== 1 || fields['type'] !== 'crypt') {
    throw unsupported('The data is not in one piece', `${segments.length} segments`, 'one encrypted segment')
  }
  if (fields['integrity'] !== undefined) {
    throw unsupported('The data is stored with checksums', 'integrity', 'a segment without integrity')
  }
  return { id, fields }
}

function payloadLength(segment: Entries, available: number, sectorBytes: number): number {
  const length = segment['size'] === 'dynamic' ? available : bytes(segment['size'], 'size')
  if (length > available) {
    throw malformed('The file ends before its encrypted data', {
      offset: 4096,
      found: `${available} bytes`,
      accepted: `${length} bytes`,
    })
  }
  return Math.floor(length / sectorBytes) * sectorBytes
}

function keySlots(
  root: Entries,
  segment: string,
  areasFrom: number,
  areasTo: number,
): {
  readonly tried: readonly KeySlot[]
  readonly otherKdfs: readonly string[]
  readonly keyBytes: number | undefined
} {
  const slots = Object.entries(entries(root['keyslots'], 'keyslots'))
  const digests = Object.values(entries(root['digests'], 'digests')).map((digest) =>
    entries(digest, 'digest'),
  )
  if (slots.length > mostSlots || digests.length > mostSlots) throw malformed('There are too many key slots')
  const tried: KeySlot[] = []
  const otherKdfs: string[] = []
  let keyBytes: number | undefined
  for (const [id, value] of slots) {
    const slot = entries(value, 'key slot')
    // A slot whose key is not the data's is none of ours.
    const digest = digests.find(
      (digest) => list(digest['segments']).includes(segment) && list(digest['keyslots']).includes(id),
    )
    if (digest === undefined) continue
    const kdf = entries(slot['kdf'], 'kdf')
    if (kdf['type'] !== 'pbkdf2' || slot['type'] !== 'luks2' || digest['type'] !== 'pbkdf2') {
      otherKdfs.push(text(kdf['type'], 'kdf type'))
      continue
    }
    const length = whole(slot['key_size'], 'key_size')
    if (keyBytes !== undefined && keyBytes !== length) throw malformed('The key slots hold different keys')
    keyBytes = length
    tried.push(keySlot(Number(id), slot, digest, areasFrom, areasTo))
  }
  return { tried, otherKdfs, keyBytes }
}

function keySlot(id: number, slot: Entries, digest: Entries, from: number, to: number): KeySlot {
  const area = entries(slot['area'], 'area')
  const split = entries(slot['af'], 'af')
  const areaOffset = bytes(area['offset'], 'area offset')
  const keyBytes = whole(slot['key_size'], 'key_size')
  const cipherKeyBytes = whole(area['key_size'], 'area key_size')
  if (split['type'] !== 'luks1' || split['stripes'] !== stripes || area['type'] !== 'raw' || keyBytes > 64) {
    throw malformed('A key slot is stored in no known way', { offset: 4096, accepted: `${stripes} stripes` })
  }
  if (
    areaOffset < from ||
    areaOffset + Math.ceil((keyBytes * stripes) / 512) * 512 > to ||
    areaOffset % 512 !== 0
  ) {
    throw malformed('A key slot lies in the header or in the data', { offset: 4096, found: `${areaOffset}` })
  }
  const value = base64(digest['digest'], 'digest')
  if (value.length < 20 || value.length > 64)
    throw malformed('A digest has no possible length', { offset: 4096 })
  return {
    id,
    kdf: pbkdf2(entries(slot['kdf'], 'kdf')),
    cipher: parseCipher(text(area['encryption'], 'area encryption'), cipherKeyBytes, 4096),
    cipherKeyBytes,
    areaOffset,
    stripeHash: parseHash(text(split['hash'], 'af hash'), 4096),
    digest: { kdf: pbkdf2(digest), value },
  }
}

function pbkdf2(fields: Entries): Pbkdf2 {
  return {
    hash: parseHash(text(fields['hash'], 'hash'), 4096),
    iterations: whole(fields['iterations'], 'iterations'),
    salt: base64(fields['salt'], 'salt'),
  }
}
