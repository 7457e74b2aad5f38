import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { ImageUnacceptableError } from '@disk-image/core'
import { expect, test } from 'vitest'
import { GunzipSink } from './gunzip-sink.ts'

const image = Buffer.concat([randomBytes(300_000), Buffer.alloc(2_000_000), randomBytes(5)])

async function decode(bytes: Uint8Array, chunk: number, maxBytes = 1e9): Promise<Buffer> {
  const out: Uint8Array[] = []
  await using sink = new GunzipSink(
    { write: (piece) => void out.push(piece.slice()) },
    { imageId: 'i', maxBytes },
  )
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

test('what is not gzip is refused at its first bytes', async () => {
  await expect(decode(Buffer.from('QFI\u00fb plain'), 1)).rejects.toThrow(/Only gzip is supported currently/)
  await expect(decode(Buffer.alloc(0), 1)).rejects.toThrow(/Only gzip is supported currently/)
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
  await using sink = new GunzipSink(
    {
      write: () => {
        throw failure
      },
    },
    { imageId: 'i', maxBytes: 1e9 },
  )
  const writing = (async () => {
    await sink.write(gzipSync(image))
    await sink.end()
  })()
  await expect(writing).rejects.toBe(failure)
})
