import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB, type OverlappedSink, type Target } from '@disk-image/core'

/**
 * Writes all of the bytes, however the kernel splits them.
 *
 * @throws an error with the code `ENOSPC` where nothing more can be written
 */
export async function writeFully(
  handle: Pick<FileHandle, 'write'>,
  bytes: Uint8Array,
  offset: number,
): Promise<void> {
  let done = 0
  while (done < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, offset + done)
    // Trying again would never end.
    if (bytesWritten === 0) {
      const asSystem = { code: 'ENOSPC', errno: -28, syscall: 'write' }
      throw Object.assign(new Error('Nothing could be written'), asSystem)
    }
    done += bytesWritten
  }
}

/** Has the names in a folder on the disk: those that were made, and those that were removed. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Zeros are looked for in steps of a page; shorter ones than this count as data: each hole costs a system call. */
const pageBytes = 4096
const leastZeroBytes = 32_768
const zeroBlock = Buffer.alloc(65_536)

/** A Buffer over the same bytes, without a copy; also over shared memory. */
function view(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

function isZeroRange(bytes: Buffer, start: number, end: number): boolean {
  // One look in JavaScript saves most calls into the runtime: data seldom starts with a zero.
  for (let from = start; from < end; from += zeroBlock.length) {
    const to = Math.min(end, from + zeroBlock.length)
    if (bytes[from] !== 0 || bytes.compare(zeroBlock, 0, to - from, from, to) !== 0) return false
  }
  return true
}

/** Whether every byte is zero. True for no bytes. */
export function isZero(chunk: Uint8Array): boolean {
  return isZeroRange(view(chunk), 0, chunk.byteLength)
}

/** A part of a chunk: `[start, end)` are offsets into it. */
export interface ChunkExtent {
  readonly start: number
  readonly end: number
  readonly zero: boolean
}

/**
 * Cuts a chunk into extents of data and of zeros, in order and without gaps, at several GiB/s.
 *
 * @param offset of the chunk in the disk: extents of zeros start and end on its pages
 */
export function splitAtZeros(
  chunk: Uint8Array,
  offset: number,
  stepBytes: number = pageBytes,
  leastBytes: number = leastZeroBytes,
): ChunkExtent[] {
  const bytes = view(chunk)
  const length = bytes.length
  const found: ChunkExtent[] = []
  let dataStart = 0
  let zeroStart = -1
  const endZeros = (end: number): void => {
    // At a chunk's edge a short extent may go on in the next chunk: it counts.
    const isLong = end - zeroStart >= leastBytes || zeroStart === 0 || end === length
    if (zeroStart < 0 || !isLong) return
    if (zeroStart > dataStart) found.push({ start: dataStart, end: zeroStart, zero: false })
    found.push({ start: zeroStart, end, zero: true })
    dataStart = end
  }
  for (let start = 0; start < length;) {
    const end = Math.min(length, start + stepBytes - ((offset + start) % stepBytes))
    if (!isZeroRange(bytes, start, end)) {
      endZeros(start)
      zeroStart = -1
    } else if (zeroStart < 0) zeroStart = start
    start = end
  }
  endZeros(length)
  if (dataStart < length) found.push({ start: dataStart, end: length, zero: false })
  return found
}

/**
 * Writes a chunk's data, and says where it is zero.
 *
 * @returns bytes of data that were written
 */
export async function writeSparsely(
  target: Pick<Target, 'write' | 'zero'>,
  chunk: Uint8Array,
  offset: number,
): Promise<number> {
  let dataBytes = 0
  for (const { start, end, zero } of splitAtZeros(chunk, offset)) {
    if (zero) {
      await target.zero(offset + start, end - start)
      continue
    }
    const isWhole = start === 0 && end === chunk.byteLength
    await target.write(isWhole ? chunk : chunk.subarray(start, end), offset + start)
    dataBytes += end - start
  }
  return dataBytes
}

/** Lets bytes pass at a rate: whoever is early waits. */
export class RateLimiter {
  readonly #bytesPerMs: number
  readonly #signal: AbortSignal | undefined
  #free = 0

  constructor(bytesPerSecond: number, signal?: AbortSignal) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#signal = signal
  }

  /** Resolves when so many bytes may be written. */
  async take(bytes: number): Promise<void> {
    const now = performance.now()
    const wait = this.#free - now
    this.#free = Math.max(now, this.#free) + bytes / this.#bytesPerMs
    if (wait > 0) await sleep(wait, undefined, { signal: this.#signal }).catch(() => undefined)
    this.#signal?.throwIfAborted()
  }
}

/** How a {@link SparseSink} writes. */
export interface SparseSinkOptions {
  /** False writes every byte. */
  readonly sparse: boolean
  readonly rateLimiter?: RateLimiter | undefined
  /** Called before each write with where it ends, in bytes; what it throws is what the write throws. */
  readonly checkEnd?: ((endBytes: number) => void) | undefined
}

/**
 * Writes onto a target, leaving out what is zero: a hole in a file, safe zeros on a device. A stream is written from
 * its start; a disk in any order.
 */
export class SparseSink implements OverlappedSink {
  readonly #target: Pick<Target, 'write' | 'zero'>
  readonly #options: SparseSinkOptions
  #offset = 0
  #written = 0

  constructor(target: Pick<Target, 'write' | 'zero'>, options: SparseSinkOptions) {
    this.#target = target
    this.#options = options
  }

  /** Where what was taken so far ends. */
  get offset(): number {
    return this.#offset
  }

  /** Bytes really written so far. */
  get written(): number {
    return this.#written
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.writeAt(chunk, this.#offset)
  }

  async writeAt(chunk: Uint8Array, start: number): Promise<void> {
    const { sparse, rateLimiter, checkEnd } = this.#options
    const end = start + chunk.length
    checkEnd?.(end)
    // Before anything is waited for: the next write may begin meanwhile.
    this.#offset = end
    await rateLimiter?.take(chunk.length)
    if (sparse) {
      // Not `+= await`: others are written meanwhile.
      const dataBytes = await writeSparsely(this.#target, chunk, start)
      this.#written += dataBytes
    } else {
      await this.#target.write(chunk, start)
      this.#written += chunk.length
    }
  }

  /** The range reads as zeros afterwards. */
  async zeroAt(start: number, length: number): Promise<void> {
    const end = start + length
    this.#offset = end
    if (this.#options.sparse) return this.#target.zero(start, length)
    const zeros = new Uint8Array(Math.min(length, MiB))
    for (let offset = start; offset < end; offset += zeros.length) {
      await this.writeAt(zeros.subarray(0, Math.min(zeros.length, end - offset)), offset)
    }
  }
}
