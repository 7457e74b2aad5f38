import { type UnpackedReceiver, Unpacker } from './unpacker.ts'
import { GzipError, type GzipProblem } from '../errors.ts'

const trailerBytes = 8
/** Zeros up to whole blocks of a tape or a flash memory. */
const longestPadding = 64 * 1024 ** 2
/** Members that any gzip may have, and how many bytes each further one has at least: each costs time. */
const freeMembers = 4096
const shortestMember = 96

type Place = 'header' | 'body' | 'checksum' | 'behind'

/**
 * Unpacks gzip as it arrives: one member or several, and what may lie behind them, which is zeros, or the metadata
 * of OpenWrt. Everything else behind them is refused by its place.
 *
 * @see RFC 1952
 */
export class GzipDecoder {
  readonly #receive: UnpackedReceiver
  #place: Place = 'header'
  #body: Unpacker | undefined
  /** Of what the member was unpacked to. */
  #crc = 0
  #unpackedBytes = 0
  #kept: Uint8Array = new Uint8Array(0)
  #members = 0
  /** Bytes that were taken in whole. */
  #offset = 0
  #behind: { readonly offset: number; bytes: number; zeros: boolean } | undefined

  constructor(receive: UnpackedReceiver) {
    this.#receive = receive
  }

  /** @throws {GzipError} */
  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.length > 0) {
      const taken =
        this.#place === 'body'
          ? await this.#unpack(rest)
          : this.#place === 'behind'
            ? this.#pass(rest)
            : this.#keep(rest)
      this.#offset += taken
      rest = rest.subarray(taken)
    }
  }

  /**
   * @returns what lay behind the data
   * @throws {GzipError}
   */
  end(): GzipTrailer | undefined {
    if (this.#place === 'header' && this.#members > 0) this.#leave()
    if (this.#place !== 'behind') {
      if (this.#members === 0 && this.#kept.length === 0 && this.#place === 'header')
        throw this.#error('not-gzip', 'it is not gzip data', 0)
      throw this.#error('truncated', 'the compressed data stops before its end', this.#offset)
    }
    const behind = this.#behind
    if (behind === undefined || behind.bytes === 0) return undefined
    const { offset, bytes } = behind
    if (behind.zeros) return { kind: 'zeros', offset, bytes }
    if (bytes === this.#kept.length && isFwtoolTrailer(this.#kept)) return { kind: 'fwtool', offset, bytes }
    throw this.#trailing()
  }

  /** Gives up what is under way. */
  destroy(): void {
    this.#body?.destroy()
  }

  /** Collects a header or a checksum. */
  #keep(rest: Uint8Array): number {
    const before = this.#kept.length
    // A header is short: no need to copy a whole chunk for it.
    const more = rest.subarray(0, this.#place === 'checksum' ? trailerBytes - before : Math.max(512, before))
    const all = new Uint8Array(before + more.length)
    all.set(this.#kept)
    all.set(more, before)
    if (this.#place === 'checksum') return this.#checkEnd(all, more.length)
    const header = gzipHeaderBytes(all)
    if (header === 0) {
      if (this.#members === 0) throw this.#error('not-gzip', 'it is not gzip data', this.#offset - before)
      this.#leave()
      return 0
    }
    this.#kept = header === undefined ? all : new Uint8Array(0)
    if (header === undefined) return more.length
    this.#beginBody()
    return header - before
  }

  #beginBody(): void {
    this.#members += 1
    if (this.#members > freeMembers + this.#offset / shortestMember) {
      throw this.#error('members', 'it has more members than its length explains', this.#offset)
    }
    const zlib = process.getBuiltinModule('node:zlib')
    this.#body = new Unpacker(zlib.createInflateRaw({ chunkSize: 256 * 1024 }))
    this.#crc = 0
    this.#unpackedBytes = 0
    this.#place = 'body'
  }

  async #unpack(rest: Uint8Array): Promise<number> {
    const { crc32 } = process.getBuiltinModule('node:zlib')
    const receive = async (bytes: Uint8Array): Promise<void> => {
      this.#crc = crc32(bytes, this.#crc)
      this.#unpackedBytes += bytes.length
      await this.#receive(bytes)
    }
    let taken: number | undefined
    try {
      taken = await this.#body?.write(rest, receive)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      if (!code.startsWith('Z_')) throw error
      throw new GzipError({
        problem: 'damaged',
        reason: `the compressed data is damaged: ${(error as Error).message}`,
        offset: this.#offset,
        cause: error,
      })
    }
    if (taken !== undefined) this.#place = 'checksum'
    return taken ?? rest.length
  }

  #checkEnd(all: Uint8Array, taken: number): number {
    this.#kept = all
    if (all.length < trailerBytes) return taken
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength)
    this.#body?.destroy()
    if (view.getUint32(0, true) !== this.#crc || view.getUint32(4, true) !== this.#unpackedBytes % 2 ** 32) {
      throw this.#error('damaged', 'the compressed data is damaged: wrong checksum or length', this.#offset)
    }
    this.#body = undefined
    this.#kept = new Uint8Array(0)
    this.#place = 'header'
    return taken
  }

  /** There are no more members: what was kept as a header lies behind them. */
  #leave(): void {
    const kept = this.#kept
    this.#place = 'behind'
    this.#behind = { offset: this.#offset - kept.length, bytes: 0, zeros: true }
    this.#kept = new Uint8Array(0)
    this.#pass(kept)
  }

  /** Counts what lies behind the data, and keeps as much of it as a known trailer has. */
  #pass(bytes: Uint8Array): number {
    const behind = this.#behind
    if (behind === undefined) return bytes.length
    behind.zeros &&= bytes.every((byte) => byte === 0)
    behind.bytes += bytes.length
    const kept = new Uint8Array(Math.min(longestTrailer, this.#kept.length + bytes.length))
    kept.set(this.#kept)
    kept.set(bytes.subarray(0, kept.length - this.#kept.length), this.#kept.length)
    this.#kept = kept
    if (behind.bytes > (behind.zeros ? longestPadding : longestTrailer)) throw this.#trailing('more than ')
    return bytes.length
  }

  #trailing(more = ''): GzipError {
    const { offset = 0, bytes = 0 } = this.#behind ?? {}
    const first = [...this.#kept.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const count = `${more}${bytes} bytes`
    return new GzipError({
      problem: 'trailing',
      reason: `${count} that are no gzip follow the compressed data at byte ${offset}`,
      offset,
      found: `${count}, the first ${first}`,
      accepted: `gzip data alone: the first ${offset} bytes of the file (head -c ${offset})`,
    })
  }

  #error(problem: GzipProblem, reason: string, offset: number): GzipError {
    return new GzipError({ problem, reason, offset })
  }
}

/** Longest header that is taken: names and comments are short. */
const longestHeader = 128 * 1024
const deflate = 8
const [checksum, extra, name, comment, reserved] = [2, 4, 8, 16, 0xe0]

/**
 * Bytes of the header that a gzip member begins with.
 *
 * @returns undefined where there are too few bytes to tell, 0 where it is none
 * @see RFC 1952, 2.3 "Member format"
 */
function gzipHeaderBytes(bytes: Uint8Array): number | undefined {
  const magic = [0x1f, 0x8b, deflate]
  for (const [at, expected] of magic.entries()) {
    if (at >= bytes.length) return undefined
    if (bytes[at] !== expected) return 0
  }
  const flags = bytes[3]
  if (flags === undefined) return undefined
  if ((flags & reserved) !== 0) return 0
  let at = 10
  if ((flags & extra) !== 0) at += 2 + (bytes[at] ?? 0) + 256 * (bytes[at + 1] ?? 0)
  for (const flag of [name, comment]) {
    if ((flags & flag) === 0) continue
    const end = at < bytes.length ? bytes.indexOf(0, at) : -1
    if (end < 0) return bytes.length > longestHeader ? 0 : undefined
    at = end + 1
  }
  if ((flags & checksum) !== 0) at += 2
  return at <= bytes.length ? at : undefined
}

/** Bytes that lay behind a gzip and are no part of it. */
export interface GzipTrailer {
  readonly kind: 'zeros' | 'fwtool'
  /** Byte of the compressed data at which it begins. */
  readonly offset: number
  readonly bytes: number
}

/** Longest trailer that is looked into: metadata, a signature and its certificates. */
const longestTrailer: number = 64 * 1024

/**
 * Whether bytes are what OpenWrt appends to its images: metadata and signatures, and behind each of them 16 bytes:
 * `FWx0`, a checksum, the kind, and the length of both, big endian. The length is not exact in every image, so only
 * the last one's mark counts.
 *
 * @see https://git.openwrt.org/project/fwtool.git
 */
function isFwtoolTrailer(bytes: Uint8Array): boolean {
  if (bytes.length < 16) return false
  const view = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 16, 16)
  const length = view.getUint32(12)
  const isMark = view.getUint32(0) === 0x46577830 && view.getUint16(9) === 0 && view.getUint8(11) === 0
  return isMark && length >= 16 && length <= bytes.length
}
