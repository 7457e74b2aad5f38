import { expect, test } from 'vitest'
import { allocateBuffer, allocateSharedBuffer, bufferOffset } from './buffers.ts'

test.each([0, 1, 4096, 2 * 1024 ** 2])('%d bytes, all zero, behind the offset', (length) => {
  const own = allocateBuffer(length)
  expect(own).toHaveLength(length)
  expect(own.byteOffset).toBe(bufferOffset)
  expect(own.buffer.byteLength).toBe(bufferOffset + length)
  expect(own.every((byte) => byte === 0)).toBe(true)
  const shared = allocateSharedBuffer(length)
  expect(shared).toHaveLength(length)
  expect(shared.byteOffset).toBe(bufferOffset)
  expect(shared.buffer).toBeInstanceOf(SharedArrayBuffer)
})

test('numbers of eight bytes can be laid over them', () => {
  expect(bufferOffset % 64).toBe(0)
})
