import { expect, test } from 'vitest'
import { KiB, MiB } from '@disk-image/core'
import { encodableFormats, encodeDisk, openRaw } from '../../../src/index.ts'

/** A disk with data at its start, in its middle, and right before its end, and room between. */
function sparseDisk(size: number): Uint8Array {
  const disk = new Uint8Array(size)
  for (const at of [0, 5 * MiB + 4 * KiB, 9 * MiB, size - 512])
    disk.fill(0x5a, at, Math.min(size, at + 8 * KiB))
  return disk
}

/** What each format cannot be written without. */
const needed: Readonly<Record<string, object>> = {
  luks: { luks: { passphrase: Buffer.from('secret'), iterations: 1000 } },
}

test.each(encodableFormats)('%s is written with its gaps, onto whatever was there', async (format) => {
  const bytes = sparseDisk(17 * MiB)
  const reader = {
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.slice(offset, offset + length),
  }
  await using disk = await openRaw(reader)
  const encoded = await encodeDisk(disk, { format, ...needed[format] })
  const old = new Uint8Array(80 * MiB).fill(0xee)
  const target = {
    write: async (chunk: Uint8Array, offset: number) => old.set(chunk, offset),
    zero: async (offset: number, length: number) => void old.fill(0, offset, offset + length),
  }
  const fileBytes = await encoded.writeTo(target)
  const parts: Uint8Array[] = []
  for await (const chunk of encoded.open()) parts.push(Uint8Array.from(chunk))
  const stream = Buffer.concat(parts)
  expect(fileBytes).toBe(stream.length)
  expect(encoded.sizeBytes ?? fileBytes).toBe(fileBytes)
  expect(Buffer.from(old.subarray(0, fileBytes)).equals(stream)).toBe(true)
})
