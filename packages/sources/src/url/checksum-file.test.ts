import type { Checksum } from '@disk-image/core'
import { describe, expect, it } from 'vitest'
import { ChecksumList } from './checksum-file.ts'

const a = 'a'.repeat(64)
const b = 'b'.repeat(64)
const long = 'c'.repeat(128)
const findChecksum = (text: string, file: string): Checksum => new ChecksumList(text).find(file)

describe('finds', () => {
  it.each([
    ['GNU', `${b}  other.img\n${a}  disk.img\n`],
    ['GNU, binary', `${a} *disk.img\r\n`],
    ['GNU, in a folder', `${a}  ./images/disk.img`],
    ['BSD', `MD5 (disk.img) = ${'0'.repeat(32)}\nSHA256 (disk.img) = ${a}\n`],
    ['OpenSSL', `SHA2-256(disk.img)= ${a}`],
    ['a hash alone', `${a.toUpperCase()}\n`],
    [
      'a signed list',
      `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disk\nSHA256 (disk.img) = ${a}\n-----BEGIN`,
    ],
    ['twice the same', `${a}  disk.img\n${a}  old/disk.img\n`],
  ])('%s', (_, text) => {
    expect(findChecksum(text, 'disk.img')).toEqual({ algorithm: 'sha256', value: a })
  })

  it('the strongest algorithm, and a name that is escaped', () => {
    expect(findChecksum(`${a}  disk.img\n${long}  disk.img`, 'disk.img').algorithm).toBe('sha512')
    expect(findChecksum(`\\${a}  a\\\\b\\nc`, 'a\\b\nc').value).toBe(a)
  })
})

describe('says what is wrong', () => {
  it.each([
    ['none', `${a}  other.img\n`, /No checksum of disk.img is in the list: it has 1 of others: other.img/],
    ['no list', '<html>404</html>', /it has no line that is a checksum/],
    ['a name that only ends so', `${a}  mydisk.img`, /No checksum/],
    ['several', `${a}  disk.img\n${b}  b/disk.img\n`, /Several checksums of disk.img.*they differ/],
    ['several alone', `${a}\n${b}\n`, /No checksum/],
    ['another algorithm than the length', `MD5 (disk.img) = ${a}`, /no line that is a checksum/],
  ])('%s', (_, text, message) => {
    expect(() => findChecksum(text, 'disk.img')).toThrow(message)
  })

  it('quickly, of what is hostile', () => {
    const started = performance.now()
    for (const text of [
      '('.repeat(1e6),
      `SHA256 (${' '.repeat(1e6)}`,
      `${'a'.repeat(129)}${' '.repeat(1e6)}x`,
      `${a}  ${' '.repeat(1e6)}`,
    ]) {
      expect(() => findChecksum(text, 'disk.img')).toThrow('checksum')
    }
    expect(performance.now() - started).toBeLessThan(2000)
  })
})
