import { createHash, randomUUID } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'

/** One write of sectors into a disk. */
export interface SectorWrite {
  readonly sector: number
  readonly data: Uint8Array
}

export interface DiskPlan {
  readonly type: 'fixed' | 'dynamic' | 'differencing' | 'raw'
  readonly sizeBytes: number
  readonly writes: readonly SectorWrite[]
  readonly blockBytes?: number
  /** `tap` has a batmap and 4 KiB alignment, `qemu` neither, and sets whole bitmaps. */
  readonly creator?: 'tap' | 'win ' | 'qemu' | 'caml'
  readonly uniqueId?: string
  readonly parentUniqueId?: string
  readonly hidden?: boolean
  /** Room in the table beyond what the disk needs. */
  readonly spareEntries?: number
  /** Whether blocks whose sectors are all written are marked in the batmap. */
  readonly markFull?: boolean
  /** Locators in the header, with room of 512 bytes each. */
  readonly locators?: boolean
  /** First block straight behind the table, over the batmap, as qemu-io does. */
  readonly clobberBatmap?: boolean
  /** Allocate blocks in descending order of their index. */
  readonly reverse?: boolean
}

export interface BuiltDisk {
  readonly plan: DiskPlan
  readonly uniqueId: string
  /** What is written where; later ones win. */
  readonly bytes: (readonly [offset: number, data: Uint8Array])[]
  readonly fileBytes: number
  readonly tableOffset: number
  /** Sector of each allocated block's bitmap. */
  readonly table: ReadonlyMap<number, number>
}

const up = (value: number, unit: number): number => Math.ceil(value / unit) * unit

/** `i` counts from 0 within one write, as in the golden table. */
export function pattern(seed: string, count: number): Uint8Array {
  const bytes = Buffer.alloc(count * 512)
  for (let index = 0; index < count; index += 1) {
    const digest = createHash('sha256').update(`${seed}:${index}`).digest()
    for (let copy = 0; copy < 16; copy += 1) digest.copy(bytes, index * 512 + copy * 32)
  }
  return bytes
}

export function sum(bytes: Uint8Array): number {
  let total = 0
  for (const byte of bytes) total += byte
  return ~total >>> 0
}

/** CHS by the specification's table, written down on its own. */
function chs(sizeBytes: number): [number, number, number] {
  const total = Math.min(Math.ceil(sizeBytes / 512), 65_535 * 16 * 255)
  let sectors = 17
  let cylinderTimesHeads = Math.floor(total / 17)
  let heads = Math.max(4, Math.floor((cylinderTimesHeads + 1023) / 1024))
  if (total >= 65_535 * 16 * 63) {
    sectors = 255
    heads = 16
    cylinderTimesHeads = Math.floor(total / 255)
  } else {
    if (cylinderTimesHeads >= heads * 1024 || heads > 16) {
      sectors = 31
      heads = 16
      cylinderTimesHeads = Math.floor(total / 31)
    }
    if (cylinderTimesHeads >= heads * 1024) {
      sectors = 63
      heads = 16
      cylinderTimesHeads = Math.floor(total / 63)
    }
  }
  return [Math.floor(cylinderTimesHeads / heads), heads, sectors]
}

export function footerOf(plan: DiskPlan, uniqueId: string): Buffer {
  const footer = Buffer.alloc(512)
  footer.write('conectix', 0, 'latin1')
  footer.writeUInt32BE(2, 8)
  footer.writeUInt32BE(0x10000, 12)
  footer.writeBigUInt64BE(plan.type === 'fixed' ? 0xffff_ffff_ffff_ffffn : 512n, 16)
  footer.writeUInt32BE(500_000_000, 24)
  const creator = plan.creator ?? 'tap'
  footer.write(creator.padEnd(4, '\0'), 28, 'latin1')
  footer.writeUInt32BE(creator === 'tap' ? 0x10003 : 0x50003, 32)
  footer.writeBigUInt64BE(BigInt(plan.sizeBytes), 40)
  footer.writeBigUInt64BE(BigInt(plan.sizeBytes), 48)
  const [cylinders, heads, sectors] = chs(plan.sizeBytes)
  footer.writeUInt16BE(cylinders, 56)
  footer[58] = heads
  footer[59] = sectors
  footer.writeUInt32BE({ fixed: 2, dynamic: 3, differencing: 4, raw: 0 }[plan.type], 60)
  Buffer.from(uniqueId.replaceAll('-', ''), 'hex').copy(footer, 68)
  footer[85] = plan.hidden === true ? 1 : 0
  footer.writeUInt32BE(sum(footer), 64)
  return footer
}

/** Builds a disk by the specification alone; shares no code with what is tested. */
export function buildDisk(plan: DiskPlan): BuiltDisk {
  const uniqueId = plan.uniqueId ?? randomUUID()
  const bytes: [number, Uint8Array][] = []
  if (plan.type === 'fixed' || plan.type === 'raw') {
    for (const { sector, data } of plan.writes) bytes.push([sector * 512, data])
    let fileBytes = plan.sizeBytes
    if (plan.type === 'fixed') {
      bytes.push([plan.sizeBytes, footerOf(plan, uniqueId)])
      fileBytes += 512
    }
    return { plan, uniqueId, bytes, fileBytes, tableOffset: 0, table: new Map() }
  }
  const blockBytes = plan.blockBytes ?? 2 ** 21
  const blocks = Math.ceil(plan.sizeBytes / blockBytes)
  const entries = blocks + (plan.spareEntries ?? 0)
  const bitmapBytes = up(Math.ceil(blockBytes / 512 / 8), 512)
  const isTap = (plan.creator ?? 'tap') === 'tap'
  const tableOffset = 1536
  const tableBytes = up(entries * 4, 512)
  let end = tableOffset + tableBytes
  const batmapOffset = end
  const mapBytes = up(Math.max(1, Math.ceil(entries / 8)), 512)
  if (isTap && plan.clobberBatmap !== true) end += 512 + mapBytes
  const header = Buffer.alloc(1024)
  header.write('cxsparse', 0, 'latin1')
  header.fill(0xff, 8, 16)
  header.writeBigUInt64BE(BigInt(tableOffset), 16)
  header.writeUInt32BE(0x10000, 24)
  header.writeUInt32BE(entries, 28)
  header.writeUInt32BE(blockBytes, 32)
  if (plan.type === 'differencing') {
    Buffer.from((plan.parentUniqueId ?? '').replaceAll('-', ''), 'hex').copy(header, 40)
    if (plan.locators !== false) {
      for (const [index, code] of ['MacX', 'W2ku', 'W2ru'].entries()) {
        const text = code === 'MacX' ? Buffer.from('file://./x.vhd') : Buffer.from('.\\x.vhd', 'utf16le')
        header.write(code, 576 + index * 24, 'latin1')
        header.writeUInt32BE(512, 576 + index * 24 + 4)
        header.writeUInt32BE(text.length, 576 + index * 24 + 8)
        header.writeBigUInt64BE(BigInt(end), 576 + index * 24 + 16)
        bytes.push([end, text])
        end += 512
      }
    }
  }
  header.writeUInt32BE(sum(header), 36)
  const data = new Map<number, { bitmap: Buffer; data: Buffer }>()
  for (const write of plan.writes) {
    for (let done = 0; done < write.data.length; done += 512) {
      const sector = write.sector + done / 512
      const block = Math.floor((sector * 512) / blockBytes)
      let found = data.get(block)
      if (found === undefined) {
        found = { bitmap: Buffer.alloc(bitmapBytes), data: Buffer.alloc(blockBytes) }
        if (plan.creator === 'qemu' || plan.clobberBatmap === true) found.bitmap.fill(0xff)
        data.set(block, found)
      }
      const inBlock = sector - (block * blockBytes) / 512
      found.bitmap[inBlock >> 3] = (found.bitmap[inBlock >> 3] as number) | (0x80 >> (inBlock & 7))
      found.data.set(write.data.subarray(done, done + 512), inBlock * 512)
    }
  }
  const table = new Map<number, number>()
  const tableData = Buffer.alloc(entries * 4, 0xff)
  const map = Buffer.alloc(mapBytes)
  const order = [...data.keys()].toSorted((a, b) => (plan.reverse === true ? b - a : a - b))
  for (const block of order) {
    const found = data.get(block) as { bitmap: Buffer; data: Buffer }
    const aligned = isTap && plan.clobberBatmap !== true && blockBytes >= 4096
    const start = aligned ? up(end + bitmapBytes, 4096) - bitmapBytes : end
    table.set(block, start / 512)
    tableData.writeUInt32BE(start / 512, block * 4)
    bytes.push([start, Buffer.concat([found.bitmap, found.data])])
    if (
      plan.markFull === true &&
      found.bitmap.subarray(0, blockBytes / 4096).every((byte) => byte === 0xff)
    ) {
      map[block >> 3] = (map[block >> 3] as number) | (0x80 >> (block & 7))
    }
    end = start + bitmapBytes + blockBytes
  }
  const footer = footerOf(plan, uniqueId)
  bytes.push([0, footer])
  bytes.push([512, header])
  bytes.push([tableOffset, tableData])
  if (isTap && plan.clobberBatmap !== true) {
    const head = Buffer.alloc(512)
    head.write('tdbatmap', 0, 'latin1')
    head.writeBigUInt64BE(BigInt(batmapOffset + 512), 8)
    head.writeUInt32BE(mapBytes / 512, 16)
    head.writeUInt32BE(0x10002, 20)
    head.writeUInt32BE(sum(map), 24)
    bytes.push([batmapOffset, Buffer.concat([head, map])])
  }
  bytes.push([end, footer])
  return { plan, uniqueId, bytes, fileBytes: end + 512, tableOffset, table }
}

/** Writes a built disk as a sparse file. */
export function writeDisk(path: string, disk: BuiltDisk): void {
  const file = openSync(path, 'w', 0o600)
  try {
    ftruncateSync(file, disk.fileBytes)
    for (const [offset, data] of disk.bytes) writeSync(file, data, 0, data.length, offset)
  } finally {
    closeSync(file)
  }
}

/** A small disk in memory. */
export function diskBytes(disk: BuiltDisk): Buffer {
  const buffer = Buffer.alloc(disk.fileBytes)
  for (const [offset, data] of disk.bytes) buffer.set(data, offset)
  return buffer
}
