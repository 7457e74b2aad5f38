import { expect, test, vi } from 'vitest'
import {
  allocateBuffer,
  allocatePagePieces,
  allocateSharedBuffer,
  bufferOffset,
  BufferPool,
  BufferShare,
  isPageAligned,
  pageBytes,
} from './buffers.ts'

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

test.each([1, 10, 4096, 100_000, 2 * 1024 ** 2])(
  'pieces of %d bytes, all zero, each on pages of its own',
  (bytes) => {
    const pieces = allocatePagePieces(3, bytes)
    for (const piece of pieces) {
      expect(piece).toHaveLength(bytes)
      expect(piece.buffer).toBeInstanceOf(SharedArrayBuffer)
      expect(piece.every((byte) => byte === 0)).toBe(true)
      expect(isPageAligned(piece)).toBe(true)
    }
    for (const [index, piece] of pieces.entries()) piece.fill(index + 1)
    expect(pieces.map((piece) => piece.every((byte, _, { 0: first }) => byte === first))).toEqual([
      true,
      true,
      true,
    ])
    expect(pieces.map(([first]) => first)).toEqual([1, 2, 3])
  },
)

test('only what begins at a page is said to, and no memory of unknown place', () => {
  const [piece = new Uint8Array()] = allocatePagePieces(1, 4 * pageBytes)
  expect(isPageAligned(piece.subarray(pageBytes, pageBytes + 7))).toBe(true)
  expect(isPageAligned(piece.subarray(512))).toBe(false)
  expect(isPageAligned(new Uint8Array(pageBytes))).toBe(false)
  expect(isPageAligned(new Uint8Array(new SharedArrayBuffer(pageBytes)))).toBe(false)
})

test('without WebAssembly, or addresses for it, there is other memory', () => {
  const Memory = vi.fn(function none() {
    throw new RangeError('WebAssembly.Memory(): could not allocate memory')
  })
  for (const wasm of [undefined, { Memory }]) {
    vi.stubGlobal('WebAssembly', wasm)
    const pieces = allocatePagePieces(2, 10)
    vi.unstubAllGlobals()
    for (const piece of pieces) {
      expect(piece.buffer).toBeInstanceOf(SharedArrayBuffer)
      expect(piece).toHaveLength(10)
      expect(isPageAligned(piece)).toBe(false)
    }
  }
})

function acquireAll(share: BufferShare): Uint8Array[] {
  const buffers: Uint8Array[] = []
  for (let buffer = share.tryAcquire(); buffer !== undefined; buffer = share.tryAcquire()) {
    buffers.push(buffer)
  }
  return buffers
}

test('a share alone has its most, several share what there is, and each has its least', () => {
  const pool = new BufferPool({ bufferBytes: 10, most: 12 })
  const first = new BufferShare(pool)
  const buffers = acquireAll(first)
  expect(buffers).toHaveLength(8)
  expect(first.free).toBe(0)
  const second = new BufferShare(pool)
  const third = new BufferShare(pool)
  expect(acquireAll(second)).toHaveLength(4)
  // Beyond the pool's measure each has what it needs to get on.
  expect(acquireAll(third)).toHaveLength(4)
  for (const buffer of buffers) first.release(buffer)
  expect(second.free).toBe(4)
  expect(first.free).toBe(4)
})

test('whoever waits for one gets the one that comes back', async () => {
  const pool = new BufferPool({ bufferBytes: 10, most: 8 })
  const share = new BufferShare(pool, { least: 3, most: 6 })
  const buffers = acquireAll(share)
  expect(buffers).toHaveLength(6)
  const waiting = share.acquire()
  const [buffer = new Uint8Array()] = buffers
  share.release(buffer)
  expect(await waiting).toBe(buffer)
})

test('what one share gave back serves the next', () => {
  const pool = new BufferPool({ bufferBytes: 10 })
  const first = new BufferShare(pool)
  const buffer = first.tryAcquire() ?? new Uint8Array()
  first.release(buffer)
  first.close()
  expect(new BufferShare(pool).tryAcquire()).toBe(buffer)
})

test('each is as long as it has to be, and shares no byte with another', () => {
  const share = new BufferShare(new BufferPool({ bufferBytes: 10, perBlock: 4 }))
  const buffers = acquireAll(share)
  for (const [index, buffer] of buffers.entries()) buffer.fill(index)
  expect(buffers.map((buffer) => [...buffer])).toEqual(buffers.map((_, index) => Array(10).fill(index)))
})

test('what a share leaves behind is not used again, and does not count any more', () => {
  const pool = new BufferPool({ bufferBytes: 10, most: 8 })
  const share = new BufferShare(pool)
  const lost = acquireAll(share)
  share.close()
  expect(pool.free).toBe(8)
  const others = acquireAll(new BufferShare(pool))
  expect(others).toHaveLength(8)
  for (const buffer of others) expect(lost).not.toContain(buffer)
})
