import type { RandomAccessReader } from '@disk-image/core'

/** For loops over many numbers, which must stay within the bytes by themselves. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Whether two ranges hold the same; four bytes at a time. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  const [first, second] = [viewOf(one), viewOf(other)]
  let at = 0
  for (; at + 4 <= one.length; at += 4) if (first.getUint32(at) !== second.getUint32(at)) return false
  for (; at < one.length; at += 1) if (one[at] !== other[at]) return false
  return true
}

/**
 * Reads numbers and text out of untrusted bytes. Everything behind the end reads as zero, as a tool sees a
 * short file that it pads to a sector; nothing here throws.
 */
export class Fields {
  readonly bytes: Uint8Array
  readonly length: number
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.length = bytes.length
    this.#view = viewOf(bytes)
  }

  u8(at: number): number {
    return at >= 0 && at < this.length ? this.#view.getUint8(at) : 0
  }

  u16be(at: number): number {
    return (this.u8(at) << 8) | this.u8(at + 1)
  }

  u16le(at: number): number {
    return (this.u8(at + 1) << 8) | this.u8(at)
  }

  u32be(at: number): number {
    if (at >= 0 && at + 4 <= this.length) return this.#view.getUint32(at)
    return this.u16be(at) * 65536 + this.u16be(at + 2)
  }

  u32le(at: number): number {
    if (at >= 0 && at + 4 <= this.length) return this.#view.getUint32(at, true)
    return this.u16le(at + 2) * 65536 + this.u16le(at)
  }

  u64be(at: number): bigint {
    return (BigInt(this.u32be(at)) << 32n) | BigInt(this.u32be(at + 4))
  }

  u64le(at: number): bigint {
    return (BigInt(this.u32le(at + 4)) << 32n) | BigInt(this.u32le(at))
  }

  /** Whether these bytes stand there. Text is taken as Latin-1, one byte each. */
  has(at: number, expected: string | readonly number[]): boolean {
    if (at < 0 || at + expected.length > this.length) return false
    for (let index = 0; index < expected.length; index += 1) {
      const want = typeof expected === 'string' ? expected.charCodeAt(index) : expected[index]
      if (this.bytes[at + index] !== want) return false
    }
    return true
  }

  /** Whether a range holds nothing but zeros. What is behind the end counts as zero. */
  isZero(at: number, length: number): boolean {
    const end = Math.min(at + length, this.length)
    for (let index = Math.max(at, 0); index < end; index += 1) if (this.bytes[index] !== 0) return false
    return true
  }

  /** Latin-1 text up to the first NUL. */
  text(at: number, length: number): string {
    const end = Math.min(at + length, this.length)
    const nul = this.bytes.subarray(Math.max(at, 0), Math.max(at, end, 0)).indexOf(0)
    const stop = nul < 0 ? end : at + nul
    let result = ''
    for (let from = Math.max(at, 0); from < stop; from += 4096) {
      result += String.fromCharCode(...this.bytes.subarray(from, Math.min(stop, from + 4096)))
    }
    return result
  }

  /** A part as its own reader, without a copy. */
  part(at: number, length: number): Fields {
    const start = Math.min(Math.max(at, 0), this.length)
    return new Fields(this.bytes.subarray(start, Math.min(start + Math.max(length, 0), this.length)))
  }
}

/** Bytes of an image's start that a layout is parsed from; of a shorter file, all of them. */
export const layoutHeadBytes: number = 1024 ** 2

/**
 * As many of the wanted bytes as there are: reads on after short answers, up to the reader's size.
 *
 * Rejects with what the reader rejects with, and with the signal's reason after an abort.
 *
 * @param into `length` bytes or more that the reader may fill; the result may lie in them
 */
export async function readFully(
  reader: RandomAccessReader,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
  into?: Uint8Array,
): Promise<Uint8Array> {
  const wanted = Math.max(0, Math.min(length, reader.size - offset))
  if (wanted === 0) return new Uint8Array(0)
  signal?.throwIfAborted()
  const first = await reader.read(offset, wanted, into)
  // Nearly always all of it comes at once, and needs no copy.
  if (first.length >= wanted || first.length === 0) return first.subarray(0, wanted)
  const bytes = new Uint8Array(wanted)
  bytes.set(first)
  let filled = first.length
  while (filled < wanted) {
    signal?.throwIfAborted()
    const piece = await reader.read(offset + filled, wanted - filled)
    if (piece.length === 0) break
    bytes.set(piece.subarray(0, wanted - filled), filled)
    filled += piece.length
  }
  return bytes.subarray(0, Math.min(filled, wanted))
}
