import { expect, test } from 'vitest'
import { crc32c, crc64nvme } from './crc.ts'

/** Bit by bit, as the definition has it. */
function slowly(bytes: Uint8Array, width: bigint, polynomial: bigint): bigint {
  const ones = (1n << width) - 1n
  let crc = ones
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1n) === 0n ? crc >> 1n : (crc >> 1n) ^ polynomial
  }
  return crc ^ ones
}

const text = new TextEncoder()

test('published values', () => {
  expect(crc32c(text.encode('123456789'))).toBe(0xe3069283)
  expect(crc64nvme(text.encode('123456789'))).toBe(0xae8b14860a799888n)
  // RFC 3720
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43)
  // Linux, lib/crc
  expect(crc64nvme(new Uint8Array(4096))).toBe(0x6482d367eb22b64en)
  expect(crc64nvme(new Uint8Array(4096).fill(255))).toBe(0xc0ddba7302eca3acn)
})

test('any length at any place, in any portions, is what the definition says', () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, index) => (index * 7919) ^ (index >> 3))
  for (let start = 0; start < 9; start += 1) {
    for (let length = 0; length < 40; length += 1) {
      const part = bytes.subarray(start, start + length)
      const [short, long] = [slowly(part, 32n, 0x82f63b78n), slowly(part, 64n, 0x9a6c9329ac4bc9b5n)]
      for (const cut of [0, 1, 7, 8, 17]) {
        const [first, second] = [part.subarray(0, cut), part.subarray(cut)]
        expect(crc32c(second, crc32c(first))).toBe(Number(short))
        expect(crc64nvme(second, crc64nvme(first))).toBe(long)
      }
    }
  }
})
