import * as nodeCrypto from 'node:crypto'
import { promisify } from 'node:util'
import { LuksRefusal, type LuksCrypto } from './unlock.ts'
import type { Argon2, LuksKdf } from './luks-layout.ts'
import { createSectorCipher } from './sector-cipher.ts'

const pbkdf2 = promisify(nodeCrypto.pbkdf2)
/** Node.js has it from 24.7 on, where its OpenSSL has it. */
const { argon2 } = nodeCrypto as { readonly argon2?: typeof nodeCrypto.argon2 }

/** Node.js' own cryptography. */
export const luksCrypto: LuksCrypto = {
  kdfs: argon2 === undefined ? ['pbkdf2'] : ['pbkdf2', 'argon2i', 'argon2id'],
  digest: (hash, bytes) => Promise.resolve(nodeCrypto.hash(hash, bytes, 'buffer')),
  derive,
  decrypt(cipher, key, bytes) {
    createSectorCipher(cipher, key).decrypt(bytes, bytes, 0, 512)
    return Promise.resolve()
  },
}

function derive(secret: Uint8Array, kdf: LuksKdf, keyBytes: number): Promise<Uint8Array> {
  if (kdf.type === 'pbkdf2') return pbkdf2(secret, kdf.salt, kdf.iterations, keyBytes, kdf.hash)
  return deriveByArgon2(secret, kdf, keyBytes)
}

async function deriveByArgon2(secret: Uint8Array, kdf: Argon2, tagLength: number): Promise<Uint8Array> {
  const free = process.availableMemory()
  if (kdf.memoryBytes > free) {
    throw new LuksRefusal({
      rule: 'luks-key-derivation',
      reason: 'There is not enough memory here to derive the key',
      found: `${kdf.memoryBytes} bytes needed, ${free} free`,
    })
  }
  const parameters = {
    message: secret,
    nonce: kdf.salt,
    parallelism: kdf.lanes,
    tagLength,
    memory: kdf.memoryBytes / 1024,
    passes: kdf.passes,
  }
  return new Promise((resolve, reject) => {
    argon2?.(kdf.type, parameters, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}
