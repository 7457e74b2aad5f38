import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { ImageUnacceptableError } from '@disk-image/core'
import { expect, test } from 'vitest'
import { Unwrapper } from './unwrapper.ts'
import type { GzipTrailer } from './gzip-decoder.ts'

const image = Buffer.concat([randomBytes(300_000), Buffer.alloc(2_000_000), randomBytes(5)])

function gunzip(
  write: (bytes: Uint8Array) => void,
  maxBytes: number,
  onTrailer?: (trailer: GzipTrailer) => void,
): Unwrapper {
  return new Unwrapper({ imageId: 'i', expected: 'compressed', maxBytes, open: () => ({ write }), onTrailer })
}

async function decode(bytes: Uint8Array, chunk: number, maxBytes = 1e9): Promise<Buffer> {
  const out: Uint8Array[] = []
  const sink = gunzip((piece) => void out.push(piece.slice()), maxBytes)
  for (let offset = 0; offset < bytes.length; offset += chunk)
    await sink.write(bytes.subarray(offset, offset + chunk))
  await sink.end()
  return Buffer.concat(out)
}

test.each([7, 4096, 1_000_000])('gzip is decoded as it arrives, in chunks of %d', async (chunk) => {
  expect((await decode(gzipSync(image), chunk)).equals(image)).toBe(true)
})

test('several members are one stream', async () => {
  const members = Buffer.concat([gzipSync(image.subarray(0, 1000)), gzipSync(image.subarray(1000))])
  expect((await decode(members, 5000)).equals(image)).toBe(true)
})

const metadata = (data: string): Buffer => {
  const trailer = Buffer.alloc(16)
  trailer.write('FWx0')
  trailer.writeUInt32BE(data.length + 16, 12)
  return Buffer.concat([Buffer.from(data), trailer])
}

test.each<[string, Buffer, { readonly kind: string; readonly bytes: number }]>([
  ['zeros', Buffer.alloc(1000), { kind: 'zeros', bytes: 1000 }],
  ["OpenWrt's metadata", metadata('{ "version": 1 }'), { kind: 'fwtool', bytes: 32 }],
  [
    'metadata and a signature',
    Buffer.concat([metadata('{}'), metadata('x'.repeat(300))]),
    { kind: 'fwtool', bytes: 18 + 316 },
  ],
])('what is known to lie behind gzip is left out and named: %s', async (_name, behind, trailer) => {
  const gzip = Buffer.concat([gzipSync(image.subarray(0, 1000)), gzipSync(image.subarray(1000))])
  for (const chunk of [1, 4096, 10_000_000]) {
    const out: Uint8Array[] = []
    const trailers: GzipTrailer[] = []
    const sink = gunzip(
      (piece) => void out.push(piece.slice()),
      1e9,
      (found) => trailers.push(found),
    )
    const bytes = Buffer.concat([gzip, behind])
    // A byte at a time takes long, so only the end comes like that.
    await sink.write(bytes.subarray(0, gzip.length - 3))
    for (let at = gzip.length - 3; at < bytes.length; at += chunk)
      await sink.write(bytes.subarray(at, at + chunk))
    await sink.end()
    expect(trailers).toEqual([{ ...trailer, offset: gzip.length }])
    expect(Buffer.concat(out).equals(image)).toBe(true)
  }
})

test.each<[string, Buffer]>([
  ['text', Buffer.from('garbage')],
  ['a byte', Buffer.from([7])],
  ['the first byte of a member', Buffer.from([0x1f])],
  ['something behind zeros', Buffer.concat([Buffer.alloc(7000), Buffer.from('x')])],
  ['a member behind zeros', Buffer.concat([Buffer.alloc(5), gzipSync('another')])],
  ['metadata of another length', metadata('{}').fill(9, 17)],
  ['something behind metadata', Buffer.concat([metadata('{}'), Buffer.from('x')])],
])('anything else behind gzip is refused with its place and its length: %s', async (_name, behind) => {
  const gzip = gzipSync(image)
  await expect(decode(Buffer.concat([gzip, behind]), 4096)).rejects.toMatchObject({
    rule: 'compressed-trailing',
    offset: gzip.length,
    found: expect.stringContaining(`${behind.length} byte`),
    accepted: expect.stringContaining(`head -c ${gzip.length}`),
  })
})

test('members without content keep no processor busy', async () => {
  const empty = gzipSync('')
  await expect(
    decode(Buffer.concat(Array.from({ length: 6000 }, () => empty)), 65_536),
  ).rejects.toMatchObject({
    rule: 'compressed-container',
  })
})

test('what is not gzip is refused at its first bytes', async () => {
  await expect(decode(Buffer.from('QFI\u00fb plain'), 1)).rejects.toThrow(/Only gzip, zstd, xz and bzip2/)
  await expect(decode(Buffer.alloc(0), 1)).rejects.toThrow(/Only gzip, zstd, xz and bzip2/)
})

test('a bomb stops at the bound', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  await expect(decode(bomb, 4096, 1024 * 1024)).rejects.toThrow(/larger than the 1 MiB/)
})

test.each([20, 1000])('a stream cut after %d bytes is refused', async (length) => {
  const cut = gzipSync(image).subarray(0, length)
  await expect(decode(cut, 512)).rejects.toThrow(ImageUnacceptableError)
})

test('a flipped byte is refused', async () => {
  const bytes = gzipSync(image)
  bytes[bytes.length - 6] = (bytes.at(-6) ?? 0) ^ 1
  await expect(decode(bytes, 65_536)).rejects.toThrow(/compressed data is broken/)
})

test('the target’s own error is passed on as it is', async () => {
  const failure = new Error('disk full')
  const sink = gunzip(() => {
    throw failure
  }, 1e9)
  const writing = (async () => {
    await sink.write(gzipSync(image))
    await sink.end()
  })()
  await expect(writing).rejects.toBe(failure)
})
