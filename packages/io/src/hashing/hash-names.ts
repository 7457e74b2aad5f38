/** Names that Python's hashlib and OpenSSL spell differently. */
const renamed: Readonly<Record<string, string>> = {
  blake2b: 'blake2b512',
  blake2s: 'blake2s256',
  sha3_224: 'sha3-224',
  sha3_256: 'sha3-256',
  sha3_384: 'sha3-384',
  sha3_512: 'sha3-512',
  sha512_224: 'sha512-224',
  sha512_256: 'sha512-256',
}

/** Hex digits of the hashes that an image service may name; nothing else is a hash of an image. */
const hexDigits: Readonly<Record<string, number>> = {
  md5: 32,
  ripemd160: 40,
  sha1: 40,
  sha224: 56,
  sha3_224: 56,
  sha512_224: 56,
  blake2s: 64,
  sha256: 64,
  sha3_256: 64,
  sha512_256: 64,
  sm3: 64,
  sha384: 96,
  sha3_384: 96,
  blake2b: 128,
  sha3_512: 128,
  sha512: 128,
}

/** What every OpenSSL has. Asking it would load `node:crypto`, which takes as long as hashing 5 MB. */
const everywhere: ReadonlySet<string> = new Set(['sha224', 'sha256', 'sha384', 'sha512'])

/**
 * Node's name of a hash that Python's hashlib knows as `name`, the spelling in an image's `os_hash_algo`.
 *
 * @returns undefined where it is no hash of that kind, or this Node's OpenSSL does not have it
 */
export function toNodeHashName(name: string): string | undefined {
  if (!Object.hasOwn(hexDigits, name)) return undefined
  const nodeName = renamed[name] ?? name
  if (everywhere.has(nodeName)) return nodeName
  return process.getBuiltinModule('node:crypto').getHashes().includes(nodeName) ? nodeName : undefined
}

/** Whether a value can be the hex digest of the hash that Python calls `name`. */
export function isHexDigest(name: string, value: string): boolean {
  return value.length === hexDigits[name] && /^[0-9a-fA-F]+$/.test(value)
}
