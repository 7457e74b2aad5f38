const pageBytes = 4096
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

/** A stretch of a chunk: `[start, end)` are offsets into it. */
export interface ZeroRun {
  readonly start: number
  readonly end: number
  readonly zero: boolean
}

/** Cuts chunks into stretches of data and of zeros. */
export interface ZeroDetector {
  /**
   * The chunk's stretches in order, without gaps.
   *
   * @param offset - where the chunk lies in the volume: stretches of zeros start and end on its pages
   */
  runs(chunk: Uint8Array, offset: number): ZeroRun[]
}

/** Options of {@link createZeroDetector}. */
export interface ZeroDetectorOptions {
  /** Zeros are looked for in steps of so many bytes, a power of two. @default 4096 */
  readonly granularityBytes?: number | undefined
  /** Shorter stretches of zeros count as data: each hole costs a system call. @default 32768 */
  readonly minimumRunBytes?: number | undefined
}

/** Finds zeros at several GiB/s, in steps of a page, and reports those that are worth a hole. */
export function createZeroDetector(options: ZeroDetectorOptions = {}): ZeroDetector {
  const granularity = options.granularityBytes ?? pageBytes
  const minimumRun = options.minimumRunBytes ?? 32_768

  const runs = (chunk: Uint8Array, offset: number): ZeroRun[] => {
    const bytes = view(chunk)
    const length = bytes.length
    const found: ZeroRun[] = []
    let dataStart = 0
    let zeroStart = -1
    const endZeros = (end: number): void => {
      // At a chunk's rim a short stretch may go on in the next chunk: it is taken as it is.
      const long = end - zeroStart >= minimumRun || zeroStart === 0 || end === length
      if (zeroStart < 0 || !long) return
      if (zeroStart > dataStart) found.push({ start: dataStart, end: zeroStart, zero: false })
      found.push({ start: zeroStart, end, zero: true })
      dataStart = end
    }
    for (let start = 0; start < length;) {
      const end = Math.min(length, start + granularity - ((offset + start) % granularity))
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
  return Object.freeze({ runs })
}
