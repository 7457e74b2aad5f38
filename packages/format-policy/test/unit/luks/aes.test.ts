import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import type { LuksCipher } from '@disk-image/disk/layouts'
import { expect, test } from 'vitest'
import { Aes } from '../../../src/inspector/luks/aes.ts'
import { createSectorCipher } from '../../../src/inspector/luks/sector-cipher.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (data: Uint8Array): string => Buffer.from(data).toString('hex')

function onBlock(work: (block: Uint32Array) => void, data: Uint8Array): Uint8Array {
  const view = new DataView(data.buffer, data.byteOffset, 16)
  const block = Uint32Array.from({ length: 4 }, (_, word) => view.getUint32(4 * word, true))
  work(block)
  const result = new DataView(new ArrayBuffer(16))
  for (const [index, word] of block.entries()) result.setUint32(4 * index, word, true)
  return new Uint8Array(result.buffer)
}

function parseName(name: string): LuksCipher {
  const [mode, vector] = name.slice('aes-'.length).split('-')
  return { mode, vector } as LuksCipher
}

// FIPS 197, appendix C.
test.each([
  ['000102030405060708090a0b0c0d0e0f', '69c4e0d86a7b0430d8cdb78070b4c55a'],
  ['000102030405060708090a0b0c0d0e0f1011121314151617', 'dda97ca4864cdfe06eaf70a0ec0d7191'],
  ['000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', '8ea2b7ca516745bfeafc49904b496089'],
])('FIPS 197 with key %s', (key, encrypted) => {
  const aes = new Aes(bytes(key))
  const plain = bytes('00112233445566778899aabbccddeeff')
  expect(hex(onBlock((block) => aes.encrypt(block), plain))).toBe(encrypted)
  expect(onBlock((block) => aes.decrypt(block), bytes(encrypted))).toEqual(plain)
})

test('blocks and node:crypto agree', () => {
  for (const length of [16, 24, 32]) {
    for (let round = 0; round < 200; round += 1) {
      const key = randomBytes(length)
      const plain = new Uint8Array(randomBytes(16))
      const node = createCipheriv(`aes-${length * 8}-ecb`, key, null).setAutoPadding(false)
      const encrypted = new Uint8Array(node.update(plain))
      const aes = new Aes(key)
      expect(onBlock((block) => aes.encrypt(block), plain)).toEqual(encrypted)
      expect(onBlock((block) => aes.decrypt(block), encrypted)).toEqual(plain)
    }
  }
})

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
])('IEEE 1619 with key %s', async (key, unit, encrypted, plain) => {
  const cipher = await createSectorCipher({ mode: 'xts', vector: 'plain64' }, bytes(key))
  const data = bytes(encrypted)
  cipher.decrypt(data, unit, 32)
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
])('%s with %d bytes of key decrypts what node:crypto encrypts', async (name, keyBytes) => {
  const key = randomBytes(keyBytes)
  for (const sectorBytes of [512, 4096]) {
    for (const first of [0, 8, 2 ** 32 + 16]) {
      const plain = randomBytes(3 * sectorBytes)
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
      const cipher = await createSectorCipher(parseName(name), key)
      cipher.decrypt(data, first, sectorBytes)
      expect(data).toEqual(new Uint8Array(plain))
    }
  }
})
