import { constants, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { measureZstdFrame } from './inflate-cluster.ts'

const content = fc.oneof(
  fc.uint8Array({ minLength: 0, maxLength: 3000 }),
  fc.tuple(fc.nat(255), fc.nat(300_000)).map(([value, length]) => new Uint8Array(length).fill(value)),
)

describe('measureZstdFrame', () => {
  test('finds the end of any frame, whatever follows', () => {
    fc.assert(
      fc.property(content, fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, rest, checksum) => {
        const params = { [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0 }
        const frame = zstdCompressSync(bytes, { params })
        expect(measureZstdFrame(Buffer.concat([frame, rest]))).toBe(frame.byteLength)
        expect(measureZstdFrame(frame.subarray(0, -1))).toBeUndefined()
      }),
    )
  })

  test('measures any bytes without an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const frame = Buffer.concat([Buffer.from('28b52ffd', 'hex'), bytes])
        expect(measureZstdFrame(frame) ?? 0).toBeLessThanOrEqual(frame.byteLength)
      }),
      { numRuns: 2000 },
    )
  })

  test('refuses windows above 8 MiB', () => {
    const frame = zstdCompressSync(new Uint8Array(10))
    const large = Buffer.concat([frame.subarray(0, 4), Buffer.from([0, (24 - 10) << 3, 1, 0, 0])])
    expect(measureZstdFrame(large)).toBeUndefined()
    large[5] = (23 - 10) << 3
    expect(measureZstdFrame(large)).toBe(9)
  })
})
