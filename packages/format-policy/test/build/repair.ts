import { crc32c } from '@disk-image/disk/layouts'
import type { MutableImage } from './mutable-image.ts'

const KiB = 1024

function number(value: number, little: boolean): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, little)
  return bytes
}

function repairSum(image: MutableImage, at: number, length: number, field: number): void {
  let sum = 0
  const bytes = image.bytes.subarray(at, at + length)
  for (let index = 0; index < bytes.length; index += 1) {
    if (index < field || index >= field + 4) sum += bytes[index] ?? 0
  }
  image.put(at + field, number(~sum >>> 0, false))
}

function repairCrc(image: MutableImage, at: number, length: number): void {
  if (at + length <= image.size) {
    image.put(at + 4, number(crc32c(image.bytes.subarray(at, at + length), 4), true))
  }
}

const copy = (image: MutableImage, from: number, length: number, to: number): void =>
  image.put(to, image.bytes.slice(from, from + length))

/** Makes the checksums right after a change, so that what is behind them is reached; and the copies equal. */
export function repair(format: string, image: MutableImage): void {
  if (format === 'vhd') {
    repairSum(image, 0, 512, 64)
    repairSum(image, 512, 1024, 36)
    if (image.size >= 1024) repairSum(image, image.size - 512, 512, 64)
  } else if (format === 'vhdx') {
    for (const at of [64 * KiB, 128 * KiB]) repairCrc(image, at, 4 * KiB)
    repairCrc(image, 192 * KiB, 64 * KiB)
    copy(image, 192 * KiB, 64 * KiB, 256 * KiB)
  }
}
