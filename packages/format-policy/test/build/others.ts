import { Bytes, noise } from './bytes.ts'

function vhdChecksum(bytes: Bytes, at: number, length: number, field: number): void {
  const sum = bytes
    .end()
    .subarray(at, at + length)
    .reduce((total, byte, index) => (index >= field && index < field + 4 ? total : total + byte), 0)
  bytes.be(at + field, ~sum >>> 0, 4)
}

/** A VHD footer; kind 2 is fixed, 3 dynamic, 4 differencing. */
export function vhdFooter(kind = 2, size = 1048576n, dataOffset = 0xffffffffffffffffn): Uint8Array {
  const bytes = new Bytes(512).put(0, 'conectix').be(8, 2, 4).be(12, 0x10000, 4).be(16, dataOffset, 8)
  bytes.put(28, 'win ').be(32, 0x10000, 4).put(36, 'Wi2k').be(40, size, 8).be(48, size, 8)
  bytes.be(56, 30, 2).be(58, 4, 1).be(59, 17, 1).be(60, kind, 4).put(68, noise(16, 9))
  vhdChecksum(bytes, 0, 512, 64)
  return bytes.end()
}

/** A dynamic VHD with one block, or a differencing one with the name of its parent. */
export function buildVhd(kind = 3, size = 1048576n, parent = ''): Uint8Array {
  const footer = vhdFooter(kind, size, 512n)
  const bytes = new Bytes(2048 + 512 + 2097152).put(0, footer).put(512, 'cxsparse').fill(520, 8, 255)
  bytes.be(528, 1536, 8).be(536, 0x10000, 4).be(540, 1, 4).be(544, 2097152, 4)
  for (let index = 0; index < parent.length; index += 1) {
    bytes.be(512 + 64 + 2 * index, parent.charCodeAt(index), 2)
  }
  bytes.fill(1536, 512, 255).be(1536, 4, 4).fill(2048, 512, 255).put(2560, noise(3000))
  vhdChecksum(bytes, 512, 1024, 36)
  return bytes.put(bytes.length, footer).end()
}

/** An ISO 9660 volume descriptor in half a MiB. */
export function buildIso(): Uint8Array {
  return new Bytes(524288).put(32768, [1]).put(32769, 'CD001\x01').put(34816, '\xffCD001\x01').end()
}

/** A boot record with one partition. */
export function bootRecord(type = 0x83): Uint8Array {
  return new Bytes(512)
    .put(446, [0x80, 0, 2, 0, type, 254, 255, 255])
    .le(454, 1, 4)
    .le(458, 1984, 4)
    .put(510, [0x55, 0xaa])
    .end()
}
