import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withFileReader } from './file-reader.ts'

let directory: string
let file: string
const content = randomBytes(100_000)

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'file-reader-'))
  file = path.join(directory, 'file')
  await writeFile(file, content)
})
afterAll(() => rm(directory, { recursive: true }))

test.each([
  [0, 1000],
  [99_500, 500],
  [99_500, 9000],
  [100_000, 1],
  [200_000, 10],
])('reads from %d at most %d bytes, into what is lent and without', async (offset, length) => {
  const expected = content.subarray(offset, offset + length)
  await withFileReader(file, async (reader) => {
    expect(reader.size).toBe(content.length)
    expect(Buffer.from(await reader.read(offset, length))).toEqual(expected)
    const into = new Uint8Array(10_000).fill(0xee)
    const lent = await reader.read(offset, length, into)
    expect(lent.buffer).toBe(into.buffer)
    expect(Buffer.from(lent)).toEqual(expected)
    expect(into.subarray(expected.length).every((byte) => byte === 0xee)).toBe(true)
  })
})

test('uses memory of its own where too little is lent', async () => {
  await withFileReader(file, async (reader) => {
    const into = new Uint8Array(10)
    const bytes = await reader.read(5, 100, into)
    expect(Buffer.from(bytes)).toEqual(content.subarray(5, 105))
    expect(into.every((byte) => byte === 0)).toBe(true)
  })
})
