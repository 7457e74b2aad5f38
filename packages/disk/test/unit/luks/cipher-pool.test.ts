import { createCipheriv, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { CipherPool } from '../../../src/luks/cipher-pool.ts'

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
  const pool = new CipherPool(cipher, key, most)
  const plain = new Uint8Array(randomBytes(sectors * 512))
  const parts = Array.from({ length: 6 }, (_, part) => encrypt(plain, part * sectors))
  await Promise.all(
    parts.map((part, index) => pool.run('decrypt', part, { first: index * sectors, sectorBytes: 512 })),
  )
  for (const part of parts) expect(Buffer.compare(part, plain)).toBe(0)
  // In slots of two memories.
  const pieces = [...pool.allocate(3), ...pool.allocate(2)]
  for (const [index, piece] of pieces.entries()) piece.set(encrypt(plain, index))
  await Promise.all(
    pieces.map((piece, index) => pool.run('decrypt', piece, { first: index, sectorBytes: 512 })),
  )
  for (const piece of pieces) expect(Buffer.compare(piece, plain)).toBe(0)
  const own = new Uint8Array(encrypt(plain, 7))
  await pool.run('decrypt', own, { first: 7, sectorBytes: 512 })
  expect(Buffer.compare(own, plain)).toBe(0)
  await pool.close()
  await expect(pool.run('decrypt', encrypt(plain, 0), { first: 0, sectorBytes: 512 })).rejects.toThrow(
    'ended',
  )
})

test('an end in between settles everything', async () => {
  const pool = new CipherPool(cipher, key, 2)
  const part = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(sectors * 512))
  const begun = Array.from({ length: 20 }, () => pool.run('decrypt', part(), { first: 0, sectorBytes: 512 }))
  const settled = Promise.allSettled(begun)
  await pool.close()
  const outcomes = (await settled).map(({ status }) => status)
  expect(outcomes).toHaveLength(20)
})
