import { createHash } from 'node:crypto'
import { ImageDownloadFailedError } from '@disk-image/core'
import { describe, expect, it } from 'vitest'
import { type ExpectedImage, planHash, sizeOf } from './hash-plan.ts'

const text = 'the bytes of a disk'
const sha512 = createHash('sha512').update(text).digest('hex')
const md5 = createHash('md5').update(text).digest('hex')

/** A record as a service, a proxy or a hand may have left it. */
function record(fields: Record<string, unknown>): ExpectedImage {
  return { id: 'some-image', size: text.length, ...fields }
}

const damaged: readonly (readonly [string, unknown, unknown])[] = [
  ['too short', 'sha512', sha512.slice(1)],
  ['too long', 'sha512', `${sha512}0`],
  ["another algorithm's length", 'sha256', sha512],
  ['no hex', 'sha512', 'g'.repeat(128)],
  ['a word', 'sha512', 'badmultihashvalue'],
  ['empty', 'sha512', ''],
  ['blanks around it', 'sha512', ` ${sha512.slice(2)} `],
  ['a line break behind it', 'sha512', `${sha512}\n`],
  ['a line break inside', 'sha512', `${sha512.slice(0, 127)}\n`],
  ['a number', 'sha512', 5],
  ['a list', 'sha512', [sha512]],
  ['an object', 'sha512', {}],
  ['false', 'sha512', false],
  ['a prefix', 'sha512', `0x${sha512.slice(2)}`],
  ['base64', 'sha512', createHash('sha512').update(text).digest('base64')],
]

describe('a hash that no bytes can have', () => {
  it.each(damaged)('%s: refused under each policy that verifies', (_name, os_hash_algo, os_hash_value) => {
    for (const policy of ['strict', 'fallback'] as const) {
      // A checksum beside it does not make up for it.
      for (const checksum of [null, md5]) {
        const image = record({ os_hash_algo, os_hash_value, checksum })
        expect(() => planHash(image, policy)).toThrow(/os_hash_value .* is not a sha\d+ hash/)
        expect(planHash(image, 'none')).toBeUndefined()
      }
    }
  })

  it.each([
    'wrong',
    '',
    ' ',
    md5.slice(1),
    `${md5}0`,
    sha512,
    'z'.repeat(32),
    5,
    [md5],
    {},
    true,
    `${md5}\n`,
  ])('a checksum %j', (checksum) => {
    expect(() => planHash(record({ checksum }), 'fallback')).toThrow(/its checksum .* is not a md5 hash/)
    const strong = record({ os_hash_algo: 'sha512', os_hash_value: sha512, checksum })
    expect(planHash(strong, 'fallback')).toMatchObject({ algorithm: 'sha512', expected: sha512 })
  })

  it('is told in one short line', () => {
    const error = (() => {
      try {
        return planHash(
          record({ os_hash_algo: 'sha512', os_hash_value: 'é\n\u001B'.repeat(9999) }),
          'fallback',
        )
      } catch (thrown) {
        return thrown
      }
    })()
    expect(error).toBeInstanceOf(ImageDownloadFailedError)
    expect((error as Error).message.length).toBeLessThan(300)
    // oxlint-disable-next-line no-control-regex
    expect((error as Error).message).not.toMatch(/[\n\u001B]/)
  })
})

describe('an algorithm that is not known', () => {
  it.each([
    'unsupported_algo',
    'shake_128',
    'SHA512',
    'sha-512',
    '',
    'constructor',
    '__proto__',
    5,
    {},
    null,
  ])('%j: the checksum counts, and without one nothing is taken', (os_hash_algo) => {
    const image = record({ os_hash_algo, os_hash_value: sha512 })
    expect(planHash({ ...image, checksum: md5 }, 'fallback')).toMatchObject({
      algorithm: 'md5',
      expected: md5,
    })
    expect(() => planHash(image, 'fallback')).toThrow(ImageDownloadFailedError)
    expect(() => planHash({ ...image, checksum: md5 }, 'strict')).toThrow(ImageDownloadFailedError)
  })
})

describe('a record without a hash', () => {
  it.each([{}, { os_hash_algo: null, os_hash_value: null, checksum: null }, { os_hash_algo: 'sha512' }])(
    '%j has nothing to compare with',
    (fields) => {
      expect(planHash(record(fields), 'fallback')).toBeUndefined()
      expect(() => planHash(record(fields), 'strict')).toThrow(/os_hash_algo/)
    },
  )

  it('takes the checksum where only the algorithm is named', () => {
    const plan = planHash(record({ os_hash_algo: 'sha512', os_hash_value: null, checksum: md5 }), 'fallback')
    expect(plan).toMatchObject({ algorithm: 'md5' })
  })
})

it('a size is a whole number of bytes, or not said', () => {
  expect([0, 1, 2 ** 50].map((size) => sizeOf(record({ size })))).toEqual([0, 1, 2 ** 50])
  expect([undefined, null].map((size) => sizeOf(record({ size })))).toEqual([undefined, undefined])
  for (const size of [-1, 1.5, 1e300, '5', 'abc', '', {}, [5], true, Number.NaN]) {
    expect(() => sizeOf(record({ size }))).toThrow(ImageDownloadFailedError)
  }
})

it('reads upper-case digits', () => {
  const image = record({ os_hash_algo: 'sha512', os_hash_value: sha512.toUpperCase() })
  expect(planHash(image, 'strict')?.expected).toBe(sha512)
})
