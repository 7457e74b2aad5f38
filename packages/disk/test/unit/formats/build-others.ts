const MiB = 1024 ** 2

/** Puts little-endian numbers of 1, 2, 4 or 8 bytes. */
function put(bytes: Buffer, offset: number, size: number, value: number | bigint): void {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true)
  bytes.set(new Uint8Array(view.buffer).subarray(0, size), offset)
}

/** What a VDI by hand is made of. */
export interface VdiParts {
  readonly sizeBytes?: number
  readonly kind?: number
  readonly map?: readonly number[]
  /** Other values of the header, by their offset, of 32 bits. */
  readonly fields?: Readonly<Record<number, number>>
  /** Content of the blocks, by their fill. */
  readonly blocks?: readonly number[]
}

/** A VDI: header, map in byte 512, data from byte 1024. */
export function buildVdi({
  sizeBytes = 3 * MiB,
  kind = 1,
  map = [1, 0xffffffff, 0],
  blocks = [7, 8],
  fields = {},
}: VdiParts = {}): Buffer {
  const bytes = Buffer.alloc(1024 + blocks.length * MiB)
  put(bytes, 0x40, 4, 0xbeda107f)
  put(bytes, 0x44, 4, 0x00010001)
  put(bytes, 0x4c, 4, kind)
  put(bytes, 0x154, 4, 512)
  put(bytes, 0x158, 4, 1024)
  put(bytes, 0x168, 4, 512)
  put(bytes, 0x170, 8, sizeBytes)
  put(bytes, 0x178, 4, MiB)
  put(bytes, 0x180, 4, map.length)
  for (const [offset, value] of Object.entries(fields)) put(bytes, Number(offset), 4, value)
  for (const [index, entry] of map.entries()) put(bytes, 512 + index * 4, 4, entry)
  for (const [index, value] of blocks.entries())
    bytes.fill(value, 1024 + index * MiB, 1024 + (index + 1) * MiB)
  return bytes
}

/** What a Parallels disk by hand is made of. */
export interface ParallelsParts {
  readonly extended?: boolean
  readonly sectors?: number
  readonly tracks?: number
  readonly entries?: readonly number[]
  readonly fileBytes?: number
  readonly fields?: Readonly<Record<number, number>>
}

/** A Parallels disk: each 512 bytes from the second on are filled with the number of their sector. */
export function buildParallels({
  extended = false,
  sectors = 20,
  tracks = 8,
  entries = [1, 0, 9],
  fileBytes = 32 * 512,
  fields = {},
}: ParallelsParts = {}): Buffer {
  const bytes = Buffer.alloc(fileBytes)
  for (let at = 512; at < fileBytes; at += 512) bytes.fill(at / 512, at, Math.min(fileBytes, at + 512))
  bytes.write(extended ? 'WithouFreSpacExt' : 'WithoutFreeSpace', 'latin1')
  put(bytes, 16, 4, 2)
  put(bytes, 28, 4, tracks)
  put(bytes, 32, 4, entries.length)
  put(bytes, 36, 4, sectors)
  for (const [offset, value] of Object.entries(fields)) put(bytes, Number(offset), 4, value)
  for (const [index, entry] of entries.entries()) put(bytes, 64 + index * 4, 4, entry)
  return bytes
}

/** What a VHDX by hand is made of. */
export interface VhdxParts {
  readonly sizeBytes?: number
  readonly blockBytes?: number
  readonly sectorBytes?: number
  readonly hasParent?: boolean
  /** Metadata items that are counted, of five. */
  readonly items?: number
  /** Entries of the block allocation table: a state, and a MiB of the file. */
  readonly bat?: readonly (readonly [state: number, place: number])[]
  readonly fileMiB?: number
  /** Sequence number and log identity of both headers. */
  readonly headers?: readonly (readonly [sequence: number, log: number])[]
}

/** A VHDX: metadata in MiB 2, table in MiB 3, log in MiB 1; each MiB from 4 on is filled with its number. */
export function buildVhdx({
  sizeBytes = 3 * MiB,
  blockBytes = MiB,
  sectorBytes = 512,
  hasParent = false,
  items: itemCount = 5,
  bat = [
    [6, 5],
    [2, 0],
    [6, 4],
  ],
  fileMiB = 6,
  headers = [
    [1, 9],
    [2, 0],
  ],
}: VhdxParts = {}): Buffer {
  const bytes = Buffer.alloc(fileMiB * MiB)
  for (let place = 4; place < fileMiB; place += 1) bytes.fill(place, place * MiB, (place + 1) * MiB)
  bytes.write('vhdxfile', 'latin1')
  for (const [index, [sequence, log]] of headers.entries()) {
    const header = bytes.subarray((index + 1) * 65_536, (index + 1) * 65_536 + 4096)
    header.write('head', 'latin1')
    put(header, 8, 8, sequence)
    put(header, 48, 8, log)
    put(header, 66, 2, 1)
    put(header, 68, 4, MiB)
    put(header, 72, 8, MiB)
    put(header, 4, 4, crc32c(header))
  }
  const regions = bytes.subarray(192 * 1024, 256 * 1024)
  regions.write('regi', 'latin1')
  put(regions, 8, 4, 2)
  for (const [index, [identity, place]] of (
    [
      ['6677c22d23f600429d64115e9bfd4a08', 3],
      ['06a27c8b90479a4bb8fe575f050f886e', 2],
    ] as const
  ).entries()) {
    regions.set(Buffer.from(identity, 'hex'), 16 + index * 32)
    put(regions, 32 + index * 32, 8, place * MiB)
    put(regions, 40 + index * 32, 4, MiB)
    put(regions, 44 + index * 32, 4, 1)
  }
  put(regions, 4, 4, crc32c(regions))
  bytes.set(regions, 256 * 1024)
  const metadata = bytes.subarray(2 * MiB, 3 * MiB)
  metadata.write('metadata', 'latin1')
  const items = [
    ['3767a1ca36fa434db3b633f0aa44e76b', 8, blockBytes + (hasParent ? 2 ** 33 : 0)],
    ['2442a52f1bcd7648b2115dbed83bf4b8', 8, sizeBytes],
    ['1dbf41816fa90947ba47f233a8faab5f', 4, sectorBytes],
    ['c748a3cd5d4471449cc9e9885251c556', 4, 4096],
    ['ab12cabee6b2234593efc309e000c746', 16, 1],
  ] as const
  put(metadata, 10, 2, itemCount)
  for (const [index, [identity, length, value]] of items.entries()) {
    metadata.set(Buffer.from(identity, 'hex'), 32 + index * 32)
    put(metadata, 48 + index * 32, 4, 65_536 + index * 16)
    put(metadata, 52 + index * 32, 4, length)
    put(metadata, 65_536 + index * 16, length, value)
  }
  for (const [index, [state, place]] of bat.entries()) {
    put(bytes, 3 * MiB + index * 8, 8, (BigInt(place) << 20n) | BigInt(state))
  }
  return bytes
}

function crc32c(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78
  }
  return ~crc >>> 0
}
