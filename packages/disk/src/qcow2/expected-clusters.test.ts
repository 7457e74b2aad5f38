import { describe, expect, test } from 'vitest'
import { ExpectedClusters } from './expected-clusters.ts'
import { Qcow2DecodeError } from './qcow2-decode-error.ts'
import { Piece, type Run } from './run.ts'

const plain = (hostOffset: number, length: number): Piece => new Piece('plain', hostOffset, length, length)

/** A run of these pieces at guest offset 10240, with some bytes cut off by the virtual size. */
function runOf(pieces: readonly Piece[], cut = 0): Run {
  return {
    guestOffset: 10_240,
    length: pieces.reduce((sum, piece) => sum + piece.guestLength, 0) - cut,
    pieces,
    needsBytes: Math.max(...pieces.map((piece) => piece.hostOffset + piece.hostLength)),
  }
}

interface Placed {
  readonly expected: ExpectedClusters
  readonly behind: readonly Run[]
  readonly claims: readonly (readonly [offset: number, length: number])[]
}

function place(position: number, run: Run): Placed {
  const expected = new ExpectedClusters(position)
  const claims: [number, number][] = []
  const behind = expected.place(run, 512, (offset, length) => claims.push([offset, length]))
  return { expected, behind, claims }
}

function restOf(expected: ExpectedClusters): unknown[] {
  const rest: unknown[] = []
  for (let { first } = expected; first !== undefined; { first } = expected) {
    rest.push([first.hostOffset, first.guestOffset, first.length])
    expected.consume(first.length)
  }
  return rest
}

describe('ExpectedClusters', () => {
  test('expects what begins at the position or behind it', () => {
    const { expected, behind, claims } = place(1024, runOf([plain(2048, 512), plain(1024, 1024)]))
    expect(behind).toEqual([])
    expect(claims).toEqual([
      [2048, 512],
      [1024, 1024],
    ])
    expect([expected.size, expected.end]).toEqual([2, 2048])
    expect(restOf(expected)).toEqual([
      [1024, 10_752, 1024],
      [2048, 10_240, 512],
    ])
    expect([expected.size, expected.first, expected.end]).toEqual([0, undefined, undefined])
  })

  test('leaves to the file what has come, and neither claims nor expects it', () => {
    const run = runOf([plain(2048, 512), plain(1024, 1024)])
    const { expected, behind, claims } = place(2560, run)
    expect([behind, claims, expected.size]).toEqual([[run], [], 0])
  })

  test.for(['compressed', 'kept'] as const)('leaves %s ones to the file', (kind) => {
    const run = runOf([new Piece(kind, 2048, 512, 512)])
    const { expected, behind, claims } = place(0, run)
    expect([behind, claims, expected.size]).toEqual([[run], [], 0])
  })

  test.for([
    [1025, 512],
    [1535, 512],
    [1536, 512],
    [1537, 1024],
  ] as const)('reads a cluster that has come in part, to %i, from the file', ([position, passed]) => {
    const { expected, behind, claims } = place(position, runOf([plain(1024, 2048)]))
    expect(behind).toEqual([
      {
        guestOffset: 10_240,
        length: passed,
        pieces: [plain(1024, passed)],
        needsBytes: 1024 + passed,
      },
    ])
    expect(claims).toEqual([[1024 + passed, 2048 - passed]])
    expect(restOf(expected)).toEqual([[1024 + passed, 10_240 + passed, 2048 - passed]])
  })

  test('divides a run of which pieces lie on both sides', () => {
    const { expected, behind } = place(
      5000,
      runOf([plain(1024, 512), plain(8192, 512), plain(2048, 512)], 100),
    )
    expect(behind.map(({ guestOffset, length, needsBytes }) => [guestOffset, length, needsBytes])).toEqual([
      [10_240, 512, 1536],
      [11_264, 412, 2560],
    ])
    expect(restOf(expected)).toEqual([[8192, 10_752, 512]])
  })

  test('expects no byte behind the virtual size, but claims the whole cluster', () => {
    const { expected, behind, claims } = place(0, runOf([plain(1024, 1024)], 300))
    expect([behind, claims]).toEqual([[], [[1024, 1024]]])
    expect(restOf(expected)).toEqual([[1024, 10_240, 724]])
    const passed = place(1900, runOf([plain(1024, 1024)], 300))
    expect(passed.behind).toMatchObject([{ length: 724, needsBytes: 2048 }])
    expect(passed.expected.size).toBe(0)
  })

  test('is consumed in parts, which leaves its end where it is', () => {
    const { expected } = place(0, runOf([plain(1024, 1024)]))
    expected.consume(1)
    expect(expected.first).toMatchObject({ hostOffset: 1025, guestOffset: 10_241, length: 1023 })
    expect(expected.end).toBe(2048)
    expected.consume(2000)
    expect(expected.size).toBe(0)
    expected.consume(1)
  })

  test('is zero where the file ends amid its last cluster, and refused where that begins behind the end', () => {
    const ended = (fileBytes: number): number => {
      const { expected } = place(0, runOf([plain(1024, 1024)]))
      expected.consume(fileBytes > 1024 ? fileBytes - 1024 : 0)
      return expected.giveUp(fileBytes, 512)
    }
    expect(ended(1537)).toBe(511)
    expect(ended(2047)).toBe(1)
    for (const fileBytes of [1536, 1024, 0]) expect(() => ended(fileBytes)).toThrow(Qcow2DecodeError)
  })
})
