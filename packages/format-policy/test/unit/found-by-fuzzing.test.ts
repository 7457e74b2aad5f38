import { describe, expect, test } from 'vitest'
import { Bytes } from '../build/bytes.ts'
import { allSeeds } from '../build/more-seeds.ts'
import { MutableImage } from '../build/mutable-image.ts'
import { buildQcow2 } from '../build/qcow2.ts'
import { repair } from '../build/repair.ts'
import { buildVmdk, buildVmwareStream, descriptor } from '../build/vmdk.ts'
import { failed, inspectBytes } from '../support.ts'

// Each of these was called safe once, and is an image that qemu-img does not open.
const seed = (name: string): Bytes =>
  new Bytes().put(0, allSeeds().find((one) => one.name === name)?.bytes ?? new Uint8Array(0))

/** With checksums that hold. */
function repaired(bytes: Bytes): Uint8Array {
  const image = new MutableImage(bytes.end())
  repair('vhdx', image)
  return image.bytes
}

const text = descriptor('streamOptimized', ['RW 2048 SPARSE "x"'])
const damagedHeader = (at: number, value: number): Uint8Array => repaired(seed('vhdx').le(at, value, 1))

describe('qcow2', () => {
  test.each([
    [
      'a snapshot table at an odd place, without snapshots',
      buildQcow2({ snapshotsOffset: 0x80000001n }),
      'tables',
    ],
    [
      'a snapshot with 2 GiB of extra data',
      seed('qcow2-snapshot')
        .be(393216 + 36, 2 ** 31, 4)
        .end(),
      'tables',
    ],
    [
      'a second snapshot with too much extra data',
      seed('qcow2-snapshot')
        .be(393280 + 36, 1025, 4)
        .end(),
      'tables',
    ],
    [
      'more snapshots than there are in the file',
      seed('qcow2-snapshot').be(60, 60_000, 4).end(),
      'truncated',
    ],
    [
      'encryption by LUKS, and no LUKS header',
      seed('qcow2-encrypted').put(393216, 'luks').end(),
      'encryption',
    ],
    [
      'a place of the LUKS header that is too long',
      seed('qcow2-encrypted').be(116, 24, 4).end(),
      'encryption',
    ],
    ['extensions that do not end', buildQcow2({ headerLength: 65532 }), 'header'],
    [
      'a LUKS header without encryption',
      buildQcow2({ extensions: [[0x0537be77, '\0'.repeat(16)]] }),
      'encryption',
    ],
  ])('%s', (_, bytes, check) => {
    expect(failed(inspectBytes(bytes))).toContain(check)
  })

  test.each([
    ['a directory of no bytes', 0, 0x20n, 0],
    ['a directory that is too small', 2, 32n, 0],
    ['something where zeros must be', 1, 32n, 1],
    ['a place behind every file', 1, 32n, 0, 2n ** 56n + 327680n],
  ])('bitmaps with %s', (_, count, bytes, reserved, place = 327680n) => {
    const data = new Bytes(24).be(0, count, 4).be(4, reserved, 4).be(8, bytes, 8).be(16, place, 8).end()
    const image = new Bytes().put(0, buildQcow2({ extensions: [[0x23852875, String.fromCharCode(...data)]] }))
    expect(failed(inspectBytes(image.be(88, 1, 8).end()))).toEqual(['tables'])
  })
})

test('a snapshot table may end with the file, before what would fill it up', () => {
  const whole = seed('qcow2-snapshot').end()
  const end = 393280 + 56 + '2second'.length
  expect(failed(inspectBytes(whole))).toEqual([])
  expect(failed(inspectBytes(whole.subarray(0, end)))).not.toContain('tables')
  expect(
    inspectBytes(
      seed('qcow2-snapshot')
        .end()
        .subarray(0, end - 1),
    ).checks,
  ).toContainEqual(expect.objectContaining({ name: 'truncated', ok: false, offset: 64 }))
})

describe('vmdk', () => {
  test.each([
    [
      'a footer whose tables end behind the file',
      buildVmwareStream({ header: { overhead: 2n ** 30n } }),
      'truncated',
    ],
    ['no parentCID', buildVmdk(text.replace(/parentCID=.*\n/, '')), 'descriptor'],
    ['a parentCID with a blank', buildVmdk(text.replace('parentCID=', 'parentCID =')), 'descriptor'],
    ['a CID that is no number', buildVmdk(text.replace('CID=01234567', 'CID=xyz')), 'descriptor'],
    [
      'a copy of the directory behind the file',
      new Bytes()
        .put(0, buildVmdk())
        .le(8, 3, 4)
        .le(48, 2 ** 40, 8)
        .end(),
      'truncated',
    ],
    ['a copy of the directory nowhere', new Bytes().put(0, buildVmdk()).le(8, 3, 4).end(), 'truncated'],
  ])('%s', (_, bytes, check) => {
    expect(failed(inspectBytes(bytes))).toContain(check)
  })
})

describe('vhdx', () => {
  test('checksums that are made right are right', () => {
    expect(failed(inspectBytes(repaired(seed('vhdx'))))).toEqual([])
  })

  test.each([
    ['a log over the metadata', damagedHeader(131072 + 70, 0x20), 'header'],
    ['a log of another version', damagedHeader(131072 + 64, 1), 'header'],
    [
      'two current headers that differ',
      repaired(
        seed('vhdx')
          .le(131072 + 8, 1, 8)
          .le(131072 + 16, 1, 1),
      ),
      'header',
    ],
    [
      'a block that ends behind the file',
      repaired(seed('vhdx').le(3 * 2 ** 20, (3n << 20n) + 2n ** 20n + 6n, 8)),
      'truncated',
    ],
  ])('%s', (_, bytes, check) => {
    expect(failed(inspectBytes(bytes))).toContain(check)
  })
})

describe('luks', () => {
  test.each([
    ['no iterations for the key of the disk', 164, 0, 'key-derivation'],
    ['no iterations in a slot that is used', 212, 0, 'key-derivation'],
    ['key material in the header', 248, 7, 'header'],
    ['key slots that overlap by a sector of their pages', 208 + 7 * 48 + 40, 3535, 'header'],
  ])('%s', (_, at, value, check) => {
    expect(failed(inspectBytes(seed('luks').be(at, value, 4).end()))).toContain(check)
  })
})
