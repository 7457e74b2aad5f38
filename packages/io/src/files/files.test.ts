import { expect, test } from 'vitest'
import { readFully, readFullyFrom } from './read.ts'
import { writeFully } from './write.ts'

type Handle = Parameters<typeof writeFully>[0] & Parameters<typeof readFully>[0]

const content = Uint8Array.from({ length: 1000 }, (_, index) => index)

/** A file that takes and gives no more than so many bytes at once: a disk that gets full, a pipe, a network. */
function narrowFile(mostBytes: number, roomBytes = content.length): { handle: Handle; written: Uint8Array } {
  const written = new Uint8Array(content.length)
  const handle = {
    write: async (bytes: Uint8Array, from: number, length: number, offset: number) => {
      const bytesWritten = Math.min(mostBytes, length, Math.max(0, roomBytes - offset))
      written.set(bytes.subarray(from, from + bytesWritten), offset)
      return { bytesWritten, buffer: bytes }
    },
    read: async (into: Uint8Array, from: number, length: number, offset: number) => {
      const bytes = content.subarray(offset, offset + Math.min(mostBytes, length))
      into.set(bytes, from)
      return { bytesRead: bytes.length, buffer: into }
    },
  }
  return { handle: handle as unknown as Handle, written }
}

test.each([1, 7, 1000])('all is written and read, at most %i bytes at once', async (mostBytes) => {
  const { handle, written } = narrowFile(mostBytes)
  await writeFully(handle, content.subarray(10, 900), 10)
  expect(written.subarray(10, 900)).toEqual(content.subarray(10, 900))
  const into = new Uint8Array(890)
  expect(await readFully(handle, into, 10)).toBe(890)
  expect(into).toEqual(content.subarray(10, 900))
})

test('where nothing more can be written it ends', async () => {
  const { handle, written } = narrowFile(100, 250)
  await expect(writeFully(handle, content, 0)).rejects.toMatchObject({ code: 'ENOSPC' })
  expect(written.subarray(0, 250)).toEqual(content.subarray(0, 250))
})

test('the end of a file ends the reading', async () => {
  const into = new Uint8Array(300)
  expect(await readFully(narrowFile(64).handle, into, 900)).toBe(100)
  expect(await readFully(narrowFile(64).handle, into, 1000)).toBe(0)
})

test.each([true, false])('a reader that gives little at once (into lent memory: %s)', async (lent) => {
  const reader = {
    size: content.length,
    read: async (offset: number, length: number, into?: Uint8Array) => {
      const bytes = content.slice(offset, offset + Math.min(64, length))
      if (!lent || into === undefined) return bytes
      into.set(bytes)
      return into.subarray(0, bytes.length)
    },
  }
  const into = new Uint8Array(300)
  expect(await readFullyFrom(reader, into, 500)).toBe(300)
  expect(into).toEqual(content.subarray(500, 800))
  expect(await readFullyFrom(reader, into, 950)).toBe(50)
})

test('a reader that gives more than it was asked for is not believed', async () => {
  const reader = { size: 10, read: async () => content }
  expect(await readFullyFrom(reader, new Uint8Array(5), 0)).toBe(0)
})
