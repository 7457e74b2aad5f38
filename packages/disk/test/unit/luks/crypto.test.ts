import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseCipher } from '../../../src/luks/cipher-name.ts'
import type { LuksCipher } from '../../../src/luks/luks-layout.ts'
import { luksCrypto } from '../../../src/luks/node-crypto.ts'
import { type CipherDirection, createSectorCipher, SectorSlots } from '../../../src/luks/sector-cipher.ts'
import { mergeStripes } from '../../../src/luks/unlock.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex')

// IEEE 1619-2007, appendix B, vectors 1 to 3; 32 bytes are one data unit.
test.each([
  ['00'.repeat(32), 0, '917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e', '00'],
  [
    '11'.repeat(16) + '22'.repeat(16),
    0x3333333333,
    'c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0',
    '44',
  ],
  [
    'fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0' + '22'.repeat(16),
    0x3333333333,
    'af85336b597afc1a900b2eb21ec949d292df4c047e0b21532186a5971a227a89',
    '44',
  ],
])('IEEE 1619 with key %s', (key, unit, encrypted, plain) => {
  const cipher = createSectorCipher({ mode: 'xts', vector: 'plain64' }, bytes(key))
  const data = bytes(encrypted)
  cipher.run('decrypt', data, { first: unit, sectorBytes: 32 })
  expect(hex(data)).toBe(plain.repeat(32))
})

test.each([
  ['aes-xts-plain64', 32],
  ['aes-xts-plain64', 64],
  ['aes-xts-plain', 64],
  ['aes-cbc-plain64', 16],
  ['aes-cbc-plain', 24],
  ['aes-cbc-essiv:sha256', 16],
  ['aes-cbc-essiv:sha256', 32],
])('%s with %d bytes of key does what node:crypto does, in both directions', (name, keyBytes) => {
  const key = randomBytes(keyBytes)
  for (const sectorBytes of [512, 4096]) {
    for (const first of [0, 8, 2 ** 32 + 16]) {
      const plain = randomBytes(3 * sectorBytes + 300 * 1024)
      const encrypted: Buffer[] = []
      for (let start = 0; start < plain.length; start += sectorBytes) {
        let vector = Buffer.alloc(16)
        const number = BigInt(first + start / 512)
        vector.writeBigUInt64LE(name.endsWith('plain') ? number & 0xffffffffn : number)
        if (name.includes('essiv')) {
          const salt = createHash('sha256').update(key).digest()
          vector = createCipheriv('aes-256-ecb', salt, null).setAutoPadding(false).update(vector)
        }
        const mode = name.includes('xts') ? `aes-${keyBytes * 4}-xts` : `aes-${keyBytes * 8}-cbc`
        const node = createCipheriv(mode, key, vector).setAutoPadding(false)
        encrypted.push(node.update(plain.subarray(start, start + sectorBytes)))
      }
      const data = new Uint8Array(Buffer.concat(encrypted))
      const cipher = createSectorCipher(parseCipher(name, keyBytes, 0) as LuksCipher, key)
      const cipherText = new Uint8Array(data)
      const sectors = { first, sectorBytes }
      const odd = new Uint8Array(data.length + 1).subarray(1)
      odd.set(data)
      const slots = SectorSlots.allocate(2)
      const inSlot = slots.slot(1).subarray(sectorBytes, sectorBytes + data.length)
      inSlot.set(data)
      const runInSlot = (direction: CipherDirection): void =>
        cipher.runInSlot(direction, slots, inSlot.byteOffset, inSlot.length, sectors)
      cipher.run('decrypt', odd, sectors)
      runInSlot('decrypt')
      for (const found of [odd, inSlot]) expect(Buffer.compare(found, plain)).toBe(0)
      cipher.run('encrypt', odd, sectors)
      runInSlot('encrypt')
      for (const found of [odd, inSlot]) expect(Buffer.compare(found, cipherText)).toBe(0)
    }
  }
})

test('stripes that are all zero but the last merge into a hash chain', async () => {
  const last = randomBytes(16)
  const material = new Uint8Array(48)
  material.set(last, 32)
  let chain: Uint8Array = new Uint8Array(16)
  for (let round = 0; round < 2; round += 1) {
    chain = createHash('sha256').update(Buffer.alloc(4)).update(chain).digest().subarray(0, 16)
  }
  const wanted = chain.map((byte, index) => byte ^ (last[index] ?? 0))
  expect(hex(await mergeStripes(material, 16, 'sha256', luksCrypto(), undefined))).toBe(hex(wanted))
})
