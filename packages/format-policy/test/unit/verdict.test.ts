import { expect, test } from 'vitest'
import { Bytes, noise } from '../build/bytes.ts'
import { allSeeds } from '../build/more-seeds.ts'
import { buildQcow2 } from '../build/qcow2.ts'
import { inspectBytes } from '../support.ts'

/** A header as tar of the seventh edition of UNIX wrote it, without a magic. */
function oldTar(name: string, checksum?: string): Uint8Array {
  const header = new Bytes(1024)
    .put(0, name)
    .put(100, '000644 \0')
    .put(108, '000000 \0')
    .put(116, '000000 \0')
  header.put(124, '00000001000 ').put(136, '00000000000 ').put(148, '        ')
  const sum = header
    .end()
    .subarray(0, 512)
    .reduce((total, byte) => total + byte, 0)
  return header.put(148, checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `).end()
}

const kinds: readonly (readonly [string, Uint8Array])[] = [
  ...['gzip', 'tar', 'ova', 'zip', 'xz'].map((name) => {
    return [name, allSeeds().find((seed) => seed.name === name)?.bytes ?? new Uint8Array(0)] as const
  }),
  ['tar', oldTar('disk.raw')],
  ['ova', oldTar('machine.ovf')],
  ['lzma', new Bytes(100).put(0, [0x5d, 0, 0, 0x80, 0]).fill(5, 8, 255).end()],
  ['compress', new Bytes(100).put(0, [0x1f, 0x9d, 0x90]).end()],
  ['lzip', new Bytes(100).put(0, 'LZIP\x01').end()],
  ['rar', new Bytes(100).put(0, 'Rar!\x1a\x07\x01\0').end()],
  ['wim', new Bytes(300).put(0, 'MSWIM\0\0\0').end()],
  ['vma', new Bytes(100).put(0, 'VMA\0').be(4, 1, 4).end()],
  ['android-sparse', new Bytes(100).put(0, [0x3a, 0xff, 0x26, 0xed]).le(4, 1, 2).le(8, 28, 2).end()],
]

test.each(kinds)('an archive is something else, and no danger: %s', (format, bytes) => {
  const result = inspectBytes(bytes)
  expect(result).toMatchObject({ format, safe: false, verdict: 'not-a-disk-image' })
  const check = result.checks.find(({ ok }) => !ok)
  expect(check?.reason).toMatch(/not a disk image\. (Unpack|Install) it/)
})

test('a disk is safe or not', () => {
  expect(inspectBytes(noise(5000)).verdict).toBe('safe')
  expect(inspectBytes(oldTar('disk.raw', '000001\0 '))).toMatchObject({ format: 'raw', verdict: 'safe' })
  expect(inspectBytes(buildQcow2()).verdict).toBe('safe')
  expect(inspectBytes(buildQcow2({ backingFile: '/etc/passwd' })).verdict).toBe('not-safe')
})

test('a part of a VMDK in several files says how one file is made of them', () => {
  const header = (sectors: number): Bytes =>
    new Bytes(65536)
      .put(0, 'KDMV')
      .le(4, 1, 4)
      .le(8, 3, 4)
      .le(12, 6144, 8)
      .le(20, 128, 8)
      .le(28, sectors === 0 ? 0 : 1, 8)
      .le(36, sectors, 8)
      .le(44, 512, 4)
      .le(48, 21, 8)
      .le(56, 26, 8)
      .le(64, 128, 8)
      .put(73, '\n \r\n')
  for (const sectors of [0, 20]) {
    const check = inspectBytes(header(sectors).end()).checks.find(({ name }) => name === 'descriptor')
    expect(check).toMatchObject({
      ok: false,
      reason: expect.stringContaining('one of several parts') as unknown,
      accepted: expect.stringContaining('disk-image convert --from vmdk') as unknown,
    })
  }
})
