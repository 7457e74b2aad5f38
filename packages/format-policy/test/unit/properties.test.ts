import { array, assert, asyncProperty, constantFrom, nat, property, tuple, uint8Array } from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RandomAccessReader } from '@disk-image/core'
import { createInspector, inspect } from '@disk-image/format-policy/inspector'
import { latin1 } from '../build/bytes.ts'
import { mutate } from '../build/mutate.ts'
import { Random } from '../build/random.ts'
import { seeds } from '../build/seeds.ts'
import { problems } from '../judge.ts'
import { failed, inspectBytes } from '../support.ts'

const all = seeds()

/** Readers of every manner: with bytes of their own, into what is lent, and with less than was asked for. */
const readers: readonly ((bytes: Uint8Array) => RandomAccessReader)[] = [
  (bytes) => ({ size: bytes.length, read: async (offset, length) => bytes.slice(offset, offset + length) }),
  (bytes) => ({
    size: bytes.length,
    read: async (offset, length, into) => {
      if (into === undefined) return bytes.slice(offset, offset + length)
      if (into.length < length) throw new RangeError(`${into.length} bytes were lent for ${length}`)
      into.fill(0xee).set(bytes.subarray(offset, offset + length))
      return into.subarray(0, Math.min(length, bytes.length - offset))
    },
  }),
  (bytes) => ({
    size: bytes.length,
    read: async (offset, length, into) => {
      const piece = bytes.subarray(offset, offset + Math.min(length, 1 + (offset % 60_000)))
      if (into === undefined) return piece.slice()
      into.fill(0xee).set(piece)
      return into.subarray(0, piece.length)
    },
  }),
]

describe('the seeds', () => {
  test.each(all.map((seed) => [seed.name, seed] as const))('%s is what it is meant to be', (name, seed) => {
    const result = inspectBytes(seed.bytes)
    expect(failed(result)).toEqual(name === 'vmdk-text' ? ['create-type', 'extents'] : [])
    expect(result.format).toBe(name.split('-')[0])
  })
})

describe('every verdict is independent of how the bytes arrive', () => {
  test('random cuts of every seed and of changed seeds', () => {
    const cases = tuple(nat(all.length - 1), nat(), array(nat(4 * 1024 ** 2), { maxLength: 20 }))
    assert(
      property(cases, ([index, number, cuts]) => {
        const seed = all[index]
        if (seed === undefined) return
        const bytes = number % 3 === 0 ? seed.bytes : mutate(seed, all, new Random(number))
        const places = cuts.map((cut) => cut % (bytes.length + 1))
        expect(inspectBytes(bytes, places)).toEqual(inspectBytes(bytes))
      }),
      { numRuns: 300 },
    )
  }, 60_000)

  test('random access says the same as a stream', async () => {
    await assert(
      asyncProperty(nat(all.length - 1), nat(), async (index, number) => {
        const seed = all[index]
        if (seed === undefined) return
        const bytes = mutate(seed, all, new Random(number))
        const streamed = inspectBytes(bytes)
        for (const reader of readers) expect(await inspect(reader(bytes))).toEqual(streamed)
      }),
      { numRuns: 300 },
    )
  }, 60_000)

  test('cut at every byte of the first two sectors and the last', () => {
    for (const { bytes } of all.filter((seed) => seed.bytes.length < 600_000)) {
      const whole = inspectBytes(bytes)
      for (let cut = 0; cut < 1024; cut += 13) {
        expect(inspectBytes(bytes, [cut, bytes.length - (cut % 600)])).toEqual(whole)
      }
    }
  })

  test('the chunk buffer may be used again by the caller', () => {
    const bytes = all[3]?.bytes ?? new Uint8Array(0)
    const inspector = createInspector()
    const buffer = new Uint8Array(1000)
    for (let at = 0; at < bytes.length; at += 1000) {
      const piece = bytes.subarray(at, at + 1000)
      buffer.set(piece)
      inspector.write(buffer.subarray(0, piece.length))
      buffer.fill(0xee)
    }
    expect(inspector.end()).toEqual(inspectBytes(bytes))
  })
})

describe('no input breaks the inspector', () => {
  test('random bytes behind every magic', () => {
    const magics = constantFrom(
      'QFI\xfb\0\0\0\x03',
      'KDMV\x01\0\0\0',
      'conectix',
      'vhdxfile',
      'LUKS\xba\xbe\0\x01',
      '# Disk DescriptorFile\n',
      'WithouFreSpacExt',
    )
    assert(
      property(magics, uint8Array({ maxLength: 5000 }), (magic, rest) => {
        const bytes = new Uint8Array(magic.length + rest.length)
        bytes.set(latin1(magic))
        bytes.set(rest, magic.length)
        expect(problems(inspectBytes(bytes), bytes.length)).toEqual([])
      }),
      { numRuns: 500 },
    )
  }, 60_000)

  test.each([
    ['a descriptor of blanks', `# Disk DescriptorFile\n${' '.repeat(1_000_000)}x`],
    ['a descriptor of line ends', `# Disk DescriptorFile\n${'\n'.repeat(1_000_000)}`],
    ['a descriptor of keys', `version=1\n${'createtype\n'.repeat(90_000)}`],
    ['a descriptor of extents', `version=1\n${'RW 1 FLAT "x" 0\n'.repeat(60_000)}`],
    ['a descriptor of one line', `version=1\n${'a = '.repeat(250_000)}`],
    ['a descriptor of comments', '#\n'.repeat(500_000)],
  ])('%s takes no time', (_, text) => {
    const bytes = latin1(text)
    // The processor's time: what else the machine does says nothing about a descriptor.
    const before = process.cpuUsage()
    inspectBytes(bytes)
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1000).toBeLessThan(2000)
  })
})
