import { randomBytes } from 'node:crypto'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readFileInChunks, readHandleInChunks } from './file-chunks.ts'

let directory: string
let file: string
const bytes = randomBytes(3 * 1024 * 1024 + 17)

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'file-chunks-'))
  file = path.join(directory, 'file')
  await writeFile(file, bytes)
})
afterAll(() => rm(directory, { recursive: true }))

async function collect(source: AsyncIterable<Uint8Array>, delayMs = 0): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source) {
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs))
    chunks.push(new Uint8Array(chunk))
  }
  return Buffer.concat(chunks)
}

test.each([
  [{}, 0, bytes.length],
  [{ start: 5 }, 5, bytes.length],
  [{ start: 1024 * 1024, length: 1024 * 1024 }, 1024 * 1024, 2 * 1024 * 1024],
  [{ length: 3 }, 0, 3],
  [{ length: 0 }, 0, 0],
  [{ start: bytes.length }, 0, 0],
  [{ start: bytes.length - 2, length: 100 }, bytes.length - 2, bytes.length],
])('%j gives just these bytes, however slow their receiver', async (options, from, to) => {
  const wanted = bytes.subarray(from, to)
  expect((await collect(readFileInChunks(file, options))).equals(wanted)).toBe(true)
  expect((await collect(readFileInChunks(file, options), 5)).equals(wanted)).toBe(true)
})

test('a receiver that stops leaves no read behind, and an open handle open', async () => {
  const handle = await open(file)
  try {
    for await (const chunk of readHandleInChunks(handle)) {
      expect(chunk.length).toBe(1024 * 1024)
      break
    }
    expect((await handle.stat()).size).toBe(bytes.length)
  } finally {
    await handle.close()
  }
})

test('read into shared memory, the bytes are the same, and never more than two chunks of it are used', async () => {
  const memories = new Set<ArrayBufferLike>()
  const parts: Uint8Array[] = []
  for await (const chunk of readFileInChunks(file, { shared: true })) {
    memories.add(chunk.buffer)
    parts.push(new Uint8Array(chunk))
  }
  expect(Buffer.concat(parts).equals(bytes)).toBe(true)
  expect([...memories].map((memory) => memory instanceof SharedArrayBuffer)).toEqual([true, true])
})

test('a read that fails in the middle is what the receiver gets, after the chunks before it', async () => {
  const handle = await open(file)
  const reading = readHandleInChunks(handle)
  expect((await reading.next()).value?.length).toBe(1024 * 1024)
  // The chunk after this one is being read already, and the one after that cannot be.
  await reading.next()
  await handle.close()
  await expect(collect(reading)).rejects.toThrow('file closed')
})

test('an abort ends it with the signal’s reason', async () => {
  const reason = new Error('enough')
  await expect(collect(readFileInChunks(file, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason)
})
