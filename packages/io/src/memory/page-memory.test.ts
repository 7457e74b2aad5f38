import { expect, test, vi } from 'vitest'
import { allocatePagePieces, isPageAligned, pageBytes } from './page-memory.ts'

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
