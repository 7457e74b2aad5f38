import type * as nodeCrypto from 'node:crypto'
import { promisify } from 'node:util'
import { LuksRefusal, type LuksCrypto } from './unlock.ts'
import type { Argon2, LuksKdf } from './luks-layout.ts'
import { createSectorCipher } from './sector-cipher.ts'

/** Node.js has argon2 from 24.7 on, where its OpenSSL has it. */
type NodeCrypto = Omit<typeof nodeCrypto, 'argon2'> & Partial<Pick<typeof nodeCrypto, 'argon2'>>

/** Node.js' own cryptography, which takes a while to load: only who opens a container needs it. */
export function luksCrypto(): LuksCrypto {
  const crypto: NodeCrypto = process.getBuiltinModule('node:crypto')
  return {
    kdfs: crypto.argon2 === undefined ? ['pbkdf2'] : ['pbkdf2', 'argon2i', 'argon2id'],
    digest: (hash, bytes) => Promise.resolve(crypto.hash(hash, bytes, 'buffer')),
    derive: (secret, kdf, keyBytes) => derive(crypto, secret, kdf, keyBytes),
    decrypt(cipher, key, bytes) {
      createSectorCipher(cipher, key).run('decrypt', bytes, { first: 0, sectorBytes: 512 })
      return Promise.resolve()
    },
  }
}

function derive(crypto: NodeCrypto, secret: Uint8Array, kdf: LuksKdf, keyBytes: number): Promise<Uint8Array> {
  if (kdf.type !== 'pbkdf2') return deriveByArgon2(crypto, secret, kdf, keyBytes)
  return promisify(crypto.pbkdf2)(secret, kdf.salt, kdf.iterations, keyBytes, kdf.hash)
}

async function deriveByArgon2(
  crypto: NodeCrypto,
  secret: Uint8Array,
  kdf: Argon2,
  tagLength: number,
): Promise<Uint8Array> {
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
    crypto.argon2?.(kdf.type, parameters, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}
