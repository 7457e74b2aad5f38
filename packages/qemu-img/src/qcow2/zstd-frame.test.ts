import { constants, deflateRawSync, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { inflateCluster } from './inflate-cluster.ts'
import { measureZstdFrame } from './zstd-frame.ts'

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

describe('inflateCluster', () => {
  const compress = { zlib: deflateRawSync, zstd: zstdCompressSync } as const

  test.for(['zlib', 'zstd'] as const)('wants exactly one cluster of %s', (compression) => {
    const clusterSize = 4096
    const inflate = (bytes: Uint8Array): ReturnType<typeof inflateCluster> =>
      inflateCluster(bytes, compression, clusterSize)
    const cluster = new Uint8Array(clusterSize).map((_, index) => index >> 4)
    const stream = compress[compression](cluster)
    const whole = inflate(Buffer.concat([stream, Buffer.from('behind it')]))
    expect(whole).toEqual({ content: Buffer.from(cluster), consumedBytes: stream.byteLength })
    expect(inflate(compress[compression](cluster.subarray(1)))).toBe('inflates to less than a cluster')
    expect(inflate(compress[compression](new Uint8Array(clusterSize + 1)))).toBe(
      'inflates to more than a cluster',
    )
    expect(inflate(compress[compression](new Uint8Array(100 * clusterSize)))).toBe(
      'inflates to more than a cluster',
    )
    expect(inflate(stream.subarray(0, 8))).toBeTypeOf('string')
    expect(inflate(new Uint8Array(0))).toBeTypeOf('string')
  })

  test.for(['zlib', 'zstd'] as const)('has an answer to any %s bytes', (compression) => {
    const stream = compress[compression](new Uint8Array(4096).map((_, index) => index))
    fc.assert(
      fc.property(fc.nat(stream.byteLength - 1), fc.uint8Array({ maxLength: 20 }), (place, bytes) => {
        const damaged = Buffer.concat([
          stream.subarray(0, place),
          bytes,
          stream.subarray(place + bytes.length),
        ])
        const answer = inflateCluster(damaged, compression, 4096)
        expect(typeof answer === 'string' ? 4096 : answer.content.byteLength).toBe(4096)
      }),
      { numRuns: 1000 },
    )
  })
})
