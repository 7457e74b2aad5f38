import { InvalidError } from '@disk-image/core'
import { encodeDisk, openRaw, type VmdkEncodeOptions } from '@disk-image/disk'
import { parseVmdk } from '@disk-image/disk/layouts'
import { expect, test } from 'vitest'
import { createDeflater, createDeflaterAnew } from '../../../src/encode/deflater.ts'
import { Random } from '../../random.ts'
import { readerOf } from '../formats/read-all.ts'

const MiB = 1024 ** 2

async function encode(content: Uint8Array, vmdk: VmdkEncodeOptions = {}): Promise<Buffer> {
  const disk = await openRaw(readerOf(content))
  const chunks: Buffer[] = []
  const image = await encodeDisk(disk, { format: 'vmdk', vmdk, workers: 0 })
  for await (const chunk of image.open()) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

test('the descriptor says what VMware wants to know, and the same each time', async () => {
  const image = await encode(new Uint8Array(3 * MiB), {
    adapterType: 'pvscsi',
    hardwareVersion: 19,
    toolsVersion: 12_345,
    contentId: 0xabc,
  })
  const layout = parseVmdk(image)
  expect(layout).toMatchObject({ problems: [], createType: 'streamOptimized', sizeBytes: 3 * MiB })
  const text = image.toString('latin1', 512, image.indexOf(0, 512))
  for (const line of [
    'CID=00000abc',
    'RW 6144 SPARSE "disk.vmdk"',
    'ddb.adapterType = "lsilogic"',
    'ddb.virtualHWVersion = "19"',
    'ddb.toolsVersion = "12345"',
    'ddb.geometry.heads = "255"',
  ]) {
    expect(text.split('\n')).toContain(line)
  }
  expect(await encode(new Uint8Array(2 * MiB))).toEqual(await encode(new Uint8Array(2 * MiB)))
})

test('a disk of zeros has no grain and no table', async () => {
  const image = await encode(new Uint8Array(40 * MiB))
  // Head, directory of two tables, footer: each with its marker, and the end.
  expect(image.length).toBe(128 * 512 + 2 * 512 + 2 * 512 + 512)
  expect(image.subarray(129 * 512, 130 * 512).every((byte) => byte === 0)).toBe(true)
})

const wrong: readonly object[] = [
  { adapterType: 'nvme' },
  { hardwareVersion: 1.5 },
  { toolsVersion: -1 },
  { contentId: 0xffffffff },
]

test.each(wrong)('%j makes no VMDK', async (options) => {
  await expect(encode(new Uint8Array(512), options)).rejects.toThrow(InvalidError)
})

test('nothing at all makes no VMDK, nor does another subformat', async () => {
  await expect(encode(new Uint8Array(0))).rejects.toThrow('62 TiB')
  const disk = await openRaw(readerOf(new Uint8Array(512)))
  await expect(encodeDisk(disk, { format: 'vmdk', subformat: 'vmfs' })).rejects.toThrow('vmfs')
})

test('one engine makes the streams that the public call makes', () => {
  const random = new Random(1)
  for (const kind of [
    { wrapped: true, level: 6, windowBits: 15 },
    { wrapped: false, level: 9, windowBits: 12 },
    { wrapped: true, level: 1, windowBits: 15 },
  ]) {
    const [one, anew] = [createDeflater(kind), createDeflaterAnew(kind)]
    for (const step of [1, 7, 300, 65_536]) {
      const input = new Uint8Array(65_536).map((_, at) => (at % step === 0 ? random.below(256) : at & 3))
      const [ours, theirs] = [new Uint8Array(70_000), new Uint8Array(70_000)]
      expect(one(input, ours)).toBe(anew(input, theirs))
      expect(Buffer.compare(ours, theirs)).toBe(0)
      expect(one(input, new Uint8Array(10))).toBeUndefined()
    }
  }
})
