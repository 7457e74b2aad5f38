import type { LuksCrypto, Pbkdf2 } from '@disk-image/disk/layouts'
import { createSectorCipher, digest, webNames } from './sector-cipher.ts'

/** What a browser has. */
export const webCrypto: LuksCrypto = {
  kdfs: ['pbkdf2'],
  digest,
  derive: (secret, kdf, keyBytes) => derive(secret, kdf as Pbkdf2, keyBytes),
  async decrypt(cipher, key, bytes) {
    ;(await createSectorCipher(cipher, key)).decrypt(bytes, 0, 512)
  },
}

async function derive(secret: Uint8Array, kdf: Pbkdf2, keyBytes: number): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey('raw', new Uint8Array(secret), 'PBKDF2', false, ['deriveBits'])
  const { iterations } = kdf
  const algorithm = { name: 'PBKDF2', hash: webNames[kdf.hash], salt: new Uint8Array(kdf.salt), iterations }
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 8 * keyBytes))
}
