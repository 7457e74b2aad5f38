import { expect, test } from 'vitest'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { judgeInspection } from '@disk-image/format-policy'
import { buildVhd, vhdFooter } from '../build/others.ts'
import { failed, inspectBytes } from '../support.ts'

const MiB = 1024 ** 2

/** Changes bytes of one footer and makes its checksum right. */
function change(image: Uint8Array, at: number, field: number, bytes: readonly number[]): Uint8Array {
  const copy = image.slice()
  copy.set(bytes, at + field)
  const footer = copy.subarray(at, at + 512)
  footer.fill(0, 64, 68)
  const sum = footer.reduce((total, byte) => total + byte, 0)
  new DataView(footer.buffer, footer.byteOffset).setUint32(64, ~sum >>> 0)
  return copy
}

function check(result: InspectionResult, name: string): unknown {
  return result.checks.find((one) => one.name === name)
}

const size = [...new Uint8Array(new BigUint64Array([3n * 1024n ** 3n]).buffer).toReversed()]
const fields: readonly (readonly [string, number, readonly number[]])[] = [
  ['the size', 48, size],
  ['the original size', 40, size],
  ['the type', 60, [0, 0, 0, 4]],
  ['the creator', 28, [0x76, 0x62, 0x6f, 0x78]],
  ['the identity', 68, [1, 2, 3]],
  ['the place of the header', 16, [0, 0, 0, 0, 0, 0, 4, 0]],
  ['the geometry', 56, [1, 1, 1, 1]],
  ['the time', 24, [9, 9, 9, 9]],
]

test.each(fields)('two footers that differ in %s are refused', (_name, field, bytes) => {
  const image = buildVhd()
  for (const end of [image, image.slice(0, -1)]) {
    const differs = change(image, image.length - 512, field, bytes).slice(0, end.length)
    const result = inspectBytes(differs)
    expect(failed(result)).toContain('footers-differ')
    expect(judgeInspection(result)).toMatchObject({ ok: false, rule: 'vhd-footers-differ' })
    expect(check(result, 'footers-differ')).toMatchObject({ offset: image.length - 512 + field })
  }
})

test('a footer at the end that is damaged is not taken for a missing one', () => {
  const image = buildVhd()
  image[image.length - 512 + 64] = 0x55
  expect(failed(inspectBytes(image))).toEqual(['footers-differ'])
  image.set(new TextEncoder().encode('v_poison'), image.length - 512)
  expect(failed(inspectBytes(image))).toEqual(['footers-differ'])
})

test('without one at the end every reader takes the copy', () => {
  const image = buildVhd().fill(0, -512)
  const result = inspectBytes(image)
  expect(failed(result)).toEqual([])
  expect(check(result, 'header')).toMatchObject({ ok: true, reason: expect.stringContaining('missing') })
})

test('a footer of 511 bytes, as Virtual PC wrote it, is one', () => {
  expect(inspectBytes(buildVhd().slice(0, -1))).toMatchObject({ format: 'vhd', safe: true })
  const fixed = new Uint8Array(MiB + 511)
  fixed.set(vhdFooter(2, BigInt(MiB)).subarray(0, 511), MiB)
  expect(inspectBytes(fixed)).toMatchObject({ format: 'vhd', safe: true, virtualSizeBytes: MiB })
})

test.each(['vpc ', 'vs  ', 'vbox', 'tap\0', 'win ', 'qemu', 'qem2', 'd2v ', 'xxxx'])(
  'the size is the current size, whoever made it: %j',
  (creator) => {
    const bytes = [...Buffer.from(creator, 'latin1')]
    const image = buildVhd()
    const made = change(change(image, 0, 28, bytes), image.length - 512, 28, bytes)
    expect(inspectBytes(made)).toMatchObject({ safe: true, virtualSizeBytes: MiB })
  },
)
