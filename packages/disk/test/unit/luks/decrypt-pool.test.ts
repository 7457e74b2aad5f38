import { createCipheriv, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { DecryptPool } from '../../../src/luks/decrypt-pool.ts'

const cipher = { mode: 'xts', vector: 'plain64' } as const
const key = randomBytes(64)
const sectors = 2048

function encrypt(plain: Uint8Array, first: number): Uint8Array {
  const encrypted = new Uint8Array(new SharedArrayBuffer(plain.length))
  for (let sector = 0; sector < sectors; sector += 1) {
    const vector = Buffer.alloc(16)
    vector.writeUInt32LE(first + sector)
    const part = plain.subarray(sector * 512, (sector + 1) * 512)
    encrypted.set(createCipheriv('aes-256-xts', key, vector).update(part), sector * 512)
  }
  return encrypted
}

test.each([0, 1, 2, 4])('with %d threads, several at once are each decrypted in place', async (most) => {
  const pool = new DecryptPool(cipher, key, most)
  const plain = new Uint8Array(randomBytes(sectors * 512))
  const parts = Array.from({ length: 6 }, (_, part) => encrypt(plain, part * sectors))
  await Promise.all(parts.map((part, index) => pool.decrypt(part, index * sectors, 512)))
  for (const part of parts) expect(Buffer.compare(part, plain)).toBe(0)
  const own = new Uint8Array(encrypt(plain, 7))
  await pool.decrypt(own, 7, 512)
  expect(Buffer.compare(own, plain)).toBe(0)
  await pool.close()
  await expect(pool.decrypt(encrypt(plain, 0), 0, 512)).rejects.toThrow('ended')
})

test('an end in between settles everything', async () => {
  const pool = new DecryptPool(cipher, key, 2)
  const part = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(sectors * 512))
  const begun = Array.from({ length: 20 }, () => pool.decrypt(part(), 0, 512))
  const settled = Promise.allSettled(begun)
  await pool.close()
  const outcomes = (await settled).map(({ status }) => status)
  expect(outcomes).toHaveLength(20)
})
