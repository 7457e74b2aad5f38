import { deflateRawSync, deflateSync, zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ClusterInflater, inflateSlackBytes } from './inflate-cluster.ts'
import { createInflater, createInflaterAnew, type Inflater } from './inflater.ts'

const compress = { zlib: deflateRawSync, zstd: zstdCompressSync } as const
const clusterSize = 4096

interface Inflated {
  readonly answer: number | string
  readonly content: Uint8Array
}

function inflate(inflater: ClusterInflater, bytes: Uint8Array): Inflated {
  const output = new Uint8Array(clusterSize + inflateSlackBytes)
  const answer = inflater.inflate(bytes, output)
  return { answer, content: output.subarray(0, clusterSize) }
}

describe('ClusterInflater', () => {
  test.for(['zlib', 'zstd'] as const)('wants exactly one cluster of %s', (compression) => {
    const inflater = new ClusterInflater(compression, clusterSize)
    const answerTo = (bytes: Uint8Array): number | string => inflate(inflater, bytes).answer
    const cluster = new Uint8Array(clusterSize).map((_, index) => index >> 4)
    const stream = compress[compression](cluster)
    const whole = inflate(inflater, Buffer.concat([stream, Buffer.from('behind it')]))
    expect(whole).toEqual({ content: cluster, answer: stream.byteLength })
    expect(answerTo(compress[compression](cluster.subarray(1)))).toBe('inflates to less than a cluster')
    for (const bytes of [clusterSize + 1, clusterSize + inflateSlackBytes, 100 * clusterSize]) {
      expect(answerTo(compress[compression](new Uint8Array(bytes)))).toBe('inflates to more than a cluster')
    }
    expect(answerTo(stream.subarray(0, 8))).toBeTypeOf('string')
    expect(answerTo(new Uint8Array(0))).toBeTypeOf('string')
    expect(inflate(inflater, stream)).toEqual({ content: cluster, answer: stream.byteLength })
  })

  test.for(['zlib', 'zstd'] as const)(
    'inflates clusters of %s of every size, again and again',
    (compression) => {
      for (let size = 512; size <= 2 ** 21; size *= 2) {
        const inflater = new ClusterInflater(compression, size)
        const output = new Uint8Array(size + inflateSlackBytes)
        for (const factor of [7, 13]) {
          const cluster = new Uint8Array(size).map((_, index) => (index * factor) >> 5)
          const stream = compress[compression](cluster)
          expect(inflater.inflate(stream, output)).toBe(stream.byteLength)
          expect(Buffer.compare(output.subarray(0, size), cluster)).toBe(0)
        }
      }
    },
  )

  test.for(['zlib', 'zstd'] as const)('has an answer to any %s bytes', (compression) => {
    const inflater = new ClusterInflater(compression, clusterSize)
    const stream = compress[compression](new Uint8Array(4096).map((_, index) => index))
    fc.assert(
      fc.property(fc.nat(stream.byteLength - 1), fc.uint8Array({ maxLength: 20 }), (place, bytes) => {
        const damaged = Buffer.concat([
          stream.subarray(0, place),
          bytes,
          stream.subarray(place + bytes.length),
        ])
        const { answer } = inflate(inflater, damaged)
        expect(typeof answer === 'string' ? '' : answer <= damaged.byteLength).not.toBe(false)
      }),
      { numRuns: 1000 },
    )
  })

  test('writes nowhere but into the cluster and the room behind it', () => {
    const memory = new Uint8Array(3 * clusterSize).fill(0xaa)
    const output = memory.subarray(clusterSize, 2 * clusterSize + inflateSlackBytes)
    const inflater = new ClusterInflater('zlib', clusterSize)
    expect(inflater.inflate(deflateRawSync(new Uint8Array(10 * clusterSize)), output)).toBeTypeOf('string')
    expect(memory.subarray(0, clusterSize).every((byte) => byte === 0xaa)).toBe(true)
    expect(memory.subarray(2 * clusterSize + inflateSlackBytes).every((byte) => byte === 0xaa)).toBe(true)
    expect(() => inflater.inflate(new Uint8Array(1), memory)).toThrow(RangeError)
  })
})

/** What becomes of a stream: of two that fill their room only one keeps what there was room for. */
function told(inflateRaw: Inflater, input: Uint8Array, room: number): unknown {
  const output = new Uint8Array(room)
  const answer = inflateRaw(input, output)
  if (typeof answer === 'string') return answer
  if (answer.producedBytes === room) return 'full'
  return { ...answer, content: output.subarray(0, answer.producedBytes) }
}

describe.each(['raw', 'zlib'] as const)('createInflater, %s', (kind) => {
  const anew = createInflaterAnew(kind)

  test('keeps one engine in this Node.js', () => {
    expect(createInflater(kind).toString()).not.toBe(anew.toString())
  })

  test('answers as the public call does, whatever came before', () => {
    const kept = createInflater(kind)
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(3000).map((length) => new Uint8Array(length).fill(7)),
    )
    const damage = fc.record({ at: fc.nat(400), by: fc.integer({ min: 1, max: 255 }) })
    const streams = fc.array(fc.record({ content, damage: fc.option(damage), cut: fc.nat(3) }), {
      maxLength: 6,
    })
    fc.assert(
      fc.property(streams, fc.integer({ min: 64, max: 400 }), (list, room) => {
        for (const item of list) {
          const whole = (kind === 'raw' ? deflateRawSync : deflateSync)(item.content)
          const { at = whole.byteLength, by = 0 } = item.damage ?? {}
          if (at < whole.byteLength) whole[at] = (whole[at] ?? 0) ^ by
          const input = whole.subarray(0, whole.byteLength - item.cut)
          const expected = told(anew, input, room)
          // Where there is no room left, damage that comes behind it need not be seen.
          expect(typeof expected === 'string' ? [expected, 'full'] : [expected]).toContainEqual(
            told(kept, input, room),
          )
        }
      }),
      { numRuns: 2000 },
    )
  })
})
