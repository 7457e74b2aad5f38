import { LuksProblem } from './problem.ts'

/** Hashes that Web Crypto has, as LUKS names them. */
export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512'

const hashes: ReadonlyMap<string, { readonly webName: string; readonly bytes: number }> = new Map([
  ['sha1', { webName: 'SHA-1', bytes: 20 }],
  ['sha256', { webName: 'SHA-256', bytes: 32 }],
  ['sha384', { webName: 'SHA-384', bytes: 48 }],
  ['sha512', { webName: 'SHA-512', bytes: 64 }],
])

/** What a passphrase or key is stretched with. */
export interface Pbkdf2 {
  readonly hash: HashName
  readonly iterations: number
  readonly salt: Uint8Array
}

export function parseHash(name: string, offset?: number): HashName {
  if (hashes.has(name)) return name as HashName
  throw new LuksProblem('unsupported', {
    reason: 'The hash is not supported here',
    found: name,
    accepted: [...hashes.keys()].join(', '),
    offset,
  })
}

/** How often the hash is run for a key: once an iteration for each hash length of it. */
export function workOf(kdf: Pbkdf2, keyBytes: number): number {
  return kdf.iterations * Math.ceil(keyBytes / hashBytes(kdf.hash))
}

function hashBytes(hash: HashName): number {
  return hashes.get(hash)?.bytes ?? 20
}

export async function digest(hash: HashName, bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest(hashes.get(hash)?.webName ?? '', new Uint8Array(bytes)))
}

/** PBKDF2. After an abort it rejects at once, though Web Crypto works on in its own thread. */
export async function deriveKey(
  secret: Uint8Array,
  kdf: Pbkdf2,
  keyBytes: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  signal?.throwIfAborted()
  const key = await crypto.subtle.importKey('raw', new Uint8Array(secret), 'PBKDF2', false, ['deriveBits'])
  const hash = hashes.get(kdf.hash)?.webName ?? ''
  const algorithm = { name: 'PBKDF2', hash, salt: new Uint8Array(kdf.salt), iterations: kdf.iterations }
  const work = crypto.subtle.deriveBits(algorithm, key, 8 * keyBytes)
  return new Uint8Array(await orAbort(work, signal))
}

async function orAbort<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
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

/**
 * Joins the stripes that a key was split into.
 *
 * @param material stripes of `keyBytes` each
 * @see https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf section 2.4
 */
export async function mergeStripes(
  material: Uint8Array,
  keyBytes: number,
  hash: HashName,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const last = material.length - keyBytes
  let key: Uint8Array = new Uint8Array(keyBytes)
  for (let at = 0; at < material.length; at += keyBytes) {
    signal?.throwIfAborted()
    for (let index = 0; index < keyBytes; index += 1) key[index] = key[index]! ^ material[at + index]!
    if (at < last) key = await diffuse(key, hash)
  }
  return key
}

/** Replaces each hash length of a key by the hash of its number and itself. */
async function diffuse(key: Uint8Array, hash: HashName): Promise<Uint8Array> {
  const step = hashBytes(hash)
  const pieces: Promise<Uint8Array>[] = []
  for (let at = 0; at < key.length; at += step) {
    const piece = key.subarray(at, at + step)
    const numbered = new Uint8Array(4 + piece.length)
    new DataView(numbered.buffer).setUint32(0, at / step)
    numbered.set(piece, 4)
    pieces.push(digest(hash, numbered))
  }
  const mixed = new Uint8Array(key.length)
  for (const [index, piece] of (await Promise.all(pieces)).entries()) {
    mixed.set(piece.subarray(0, key.length - index * step), index * step)
  }
  return mixed
}
