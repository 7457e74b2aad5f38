import { InvalidError } from '@disk-image/core'
import { encodeDisk, openRaw, type VdiEncodeOptions, type VhdxEncodeOptions } from '@disk-image/disk'
import { expect, test } from 'vitest'
import { Random } from '../../random.ts'
import { readerOf } from '../formats/read-all.ts'

const KiB = 1024
const MiB = 1024 ** 2

/** The whole file for a disk whose MiB are data or zeros. */
async function encode(disk: Uint8Array, vhdx: VhdxEncodeOptions, subformat = 'dynamic'): Promise<Buffer> {
  const image = await encodeDisk(await openRaw(readerOf(disk)), { format: 'vhdx', subformat, vhdx })
  const chunks: Buffer[] = []
  for await (const chunk of image.open()) chunks.push(Buffer.from(chunk))
  const bytes = Buffer.concat(chunks)
  expect(bytes.length).toBe(image.sizeBytes)
  return bytes
}

/** Bit by bit, with the field of the sum as zero. */
function crc32c(bytes: Uint8Array): number {
  let crc = ~0
  for (const [at, byte] of bytes.entries()) {
    crc ^= at >= 4 && at < 8 ? 0 : byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78
  }
  return ~crc >>> 0
}

function guid(bytes: Buffer, at: number): string {
  const hex = (length: number, offset: number): string =>
    Buffer.from(bytes.subarray(at + offset, at + offset + length).toReversed()).toString('hex')
  const rest = bytes.toString('hex', at + 8, at + 16)
  return `${hex(4, 0)}-${hex(2, 4)}-${hex(2, 6)}-${rest.slice(0, 4)}-${rest.slice(4)}`
}

function checkHeaders(bytes: Buffer): void {
  expect(bytes.toString('latin1', 0, 8)).toBe('vhdxfile')
  const headers = [64 * KiB, 128 * KiB].map((at) => bytes.subarray(at, at + 4 * KiB))
  for (const header of headers) {
    expect(header.toString('latin1', 0, 4)).toBe('head')
    expect(header.readUInt32LE(4)).toBe(crc32c(header))
    expect(header.subarray(48, 64).every((byte) => byte === 0)).toBe(true)
    expect([header.readUInt16LE(64), header.readUInt16LE(66)]).toEqual([0, 1])
    expect([header.readUInt32LE(68), header.readBigUInt64LE(72)]).toEqual([MiB, BigInt(MiB)])
    expect(header.subarray(80).every((byte) => byte === 0)).toBe(true)
  }
  expect(headers[0]?.readBigUInt64LE(8)).not.toBe(headers[1]?.readBigUInt64LE(8))
  expect(bytes.subarray(MiB, 2 * MiB).every((byte) => byte === 0)).toBe(true)
}

/** Places and lengths of the two regions. */
function readRegions(bytes: Buffer): { bat: [number, number]; metadata: [number, number] } {
  const table = bytes.subarray(192 * KiB, 256 * KiB)
  expect(table.equals(bytes.subarray(256 * KiB, 320 * KiB))).toBe(true)
  expect([table.toString('latin1', 0, 4), table.readUInt32LE(4)]).toEqual(['regi', crc32c(table)])
  expect([table.readUInt32LE(8), table.readUInt32LE(12)]).toEqual([2, 0])
  const found = new Map<string, [number, number]>()
  for (const at of [16, 48]) {
    const place = Number(table.readBigUInt64LE(at + 16))
    const length = table.readUInt32LE(at + 24)
    expect([place % MiB, length % MiB, table.readUInt32LE(at + 28)]).toEqual([0, 0, 1])
    expect(place).toBeGreaterThanOrEqual(2 * MiB)
    found.set(guid(table, at), [place, length])
  }
  const bat = found.get('2dc27766-f623-4200-9d64-115e9bfd4a08')
  const metadata = found.get('8b7ca206-4790-4b9a-b8fe-575f050f886e')
  if (bat === undefined || metadata === undefined) throw new Error('a region is missing')
  return { bat, metadata }
}

const items = {
  parameters: 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
  size: '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
  page83: 'beca12ab-b2e6-4523-93ef-c309e000c746',
  logical: '8141bf1d-a96f-4709-ba47-f233a8faab5f',
  physical: 'cda348c7-445d-4471-9cc9-e9885251c556',
} as const

function readItems(bytes: Buffer, [place, length]: [number, number]): Map<string, [Buffer, number]> {
  const region = bytes.subarray(place, place + length)
  expect(region.toString('latin1', 0, 8)).toBe('metadata')
  const count = region.readUInt16LE(10)
  const found = new Map<string, [Buffer, number]>()
  let end = 64 * KiB
  for (let at = 32; at < 32 + count * 32; at += 32) {
    const offset = region.readUInt32LE(at + 16)
    expect(offset).toBeGreaterThanOrEqual(end)
    end = offset + region.readUInt32LE(at + 20)
    found.set(guid(region, at), [region.subarray(offset, end), region.readUInt32LE(at + 24)])
  }
  expect(end).toBeLessThanOrEqual(length)
  return found
}

test('a VHDX keeps what the specification asks for', async () => {
  for (let seed = 0; seed < 6; seed += 1) {
    const random = new Random(seed)
    const logical = random.pick([512, 4096])
    const blockBytes = random.pick([1, 2, 8]) * MiB
    const subformat = random.pick(['dynamic', 'dynamic', 'fixed'])
    const disk = new Uint8Array((1 + random.below(20)) * MiB + logical * random.below(9))
    for (let at = 0; at < disk.length; at += MiB) if (random.chance(0.3)) disk.fill(7, at, at + 100)
    const uniqueId = '01234567-89ab-4def-8123-456789abcdef'
    const bytes = await encode(disk, { blockBytes, logicalSectorBytes: logical, uniqueId }, subformat)
    checkHeaders(bytes)
    const { bat, metadata } = readRegions(bytes)
    const values = readItems(bytes, metadata)
    const flags = Object.values(items).map((item) => values.get(item)?.[1])
    expect([values.size, ...flags]).toEqual([5, 4, 6, 6, 6, 6])
    const parameters = values.get(items.parameters)?.[0]
    expect([parameters?.readUInt32LE(0), parameters?.readUInt32LE(4)]).toEqual([
      blockBytes,
      subformat === 'fixed' ? 1 : 0,
    ])
    expect(values.get(items.size)?.[0].readBigUInt64LE()).toBe(BigInt(disk.length))
    expect(values.get(items.logical)?.[0].readUInt32LE()).toBe(logical)
    expect(values.get(items.physical)?.[0].readUInt32LE()).toBe(4096)
    expect(guid(values.get(items.page83)?.[0] ?? Buffer.alloc(0), 0)).toBe(uniqueId)
    const blocks = Math.ceil(disk.length / blockBytes)
    const taken = new Set<number>()
    for (let block = 0; block < blocks; block += 1) {
      const entry = bytes.readBigUInt64LE(bat[0] + block * 8)
      const [place, state] = [Number(entry >> 20n) * MiB, Number(entry & 0xfffffn)]
      const data = disk.subarray(block * blockBytes, (block + 1) * blockBytes)
      const isStored = subformat === 'fixed' || data.some((byte) => byte !== 0)
      expect([state, taken.has(place)]).toEqual([isStored ? 6 : 2, false])
      if (isStored) taken.add(place)
      const stored = isStored ? bytes.subarray(place, place + data.length) : new Uint8Array(data.length)
      expect(Buffer.from(data).equals(stored)).toBe(true)
    }
    const ends = [Math.min(bytes.length, ...taken), Math.max(0, ...taken) + blockBytes]
    expect(ends[0]).toBeGreaterThanOrEqual(bat[0] + bat[1])
    expect(ends[1]).toBeLessThanOrEqual(Math.max(bytes.length, blockBytes))
    expect(bytes.length).toBe(bat[0] + bat[1] + taken.size * blockBytes)
    expect(bytes.subarray(bat[0] + blocks * 8, bat[0] + bat[1]).every((byte) => byte === 0)).toBe(true)
  }
})

const wrong: readonly object[] = [
  { blockBytes: 3 * MiB },
  { blockBytes: 512 * MiB },
  { logicalSectorBytes: 1024 },
  { physicalSectorBytes: 0 },
  { uniqueId: 'no' },
]

test.each(wrong)('%j makes no VHDX', async (options) => {
  await expect(encode(new Uint8Array(512), options)).rejects.toThrow(InvalidError)
})

test.each(['vhdx', 'vdi', 'parallels', 'vpc'] as const)(
  'another subformat or an empty disk: %s',
  async (format) => {
    const disk = await openRaw(readerOf(new Uint8Array(512)))
    await expect(encodeDisk(disk, { format, subformat: 'thin' })).rejects.toThrow('thin')
    const vdi: VdiEncodeOptions = { uniqueId: '00000000-0000-0000-0000-000000000000' }
    const wrongId = { format: 'vdi', vdi } as const
    await expect(encodeDisk(disk, wrongId)).rejects.toThrow('is not a UUID')
    if (format === 'vpc') return
    const empty = await openRaw(readerOf(new Uint8Array(0)))
    await expect(encodeDisk(empty, { format })).rejects.toThrow(InvalidError)
  },
)
