import { openZlibEngine } from '../stream/zlib-engine.ts'

/** Zstandard, each input a frame. */
export interface ZstdKind {
  readonly zstd: true
  /** 1 to 19. */
  readonly level: number
}

/** A gzip member. */
export interface GzipKind {
  readonly zstd?: undefined
  readonly gzip: true
  /** 1 to 9. */
  readonly level: number
}

/** How bytes are compressed. */
export type CompressKind = DeflateKind | GzipKind | ZstdKind

/** How bytes are deflated. */
export interface DeflateKind {
  readonly zstd?: undefined
  readonly gzip?: undefined
  /** Nothing around the stream, or zlib's header and checksum. */
  readonly wrapped: boolean
  /** 1 to 9. */
  readonly level: number
  /** Bits of the window, 9 to 15. */
  readonly windowBits: number
}

/**
 * Compresses each input as a stream of its own.
 *
 * @param output has room for any stream where it has {@link deflateSlackBytes} more than the input
 * @returns bytes of the stream; undefined where there is no room for it
 */
export type Deflater = (input: Uint8Array, output: Uint8Array) => number | undefined

/** What an input that can't be compressed may grow by, up to 2 MiB of it. */
export const deflateSlackBytes = 4096

/**
 * One engine for all streams: the public call makes one of 256 KiB each time. Where Node.js' own does not work as it is known to, it is the public call; the bytes are the same.
 */
export function createDeflater(kind: CompressKind): Deflater {
  const deflate = createReusingDeflater(kind)
  return deflate !== undefined && works(deflate, kind) ? deflate : createDeflaterAnew(kind)
}

function createReusingDeflater(kind: CompressKind): Deflater | undefined {
  const { constants } = process.getBuiltinModule('node:zlib')
  const engine = openZlibEngine(createStream(kind))
  if (engine === undefined) return undefined
  const finish = kind.zstd === true ? constants.ZSTD_e_end : constants.Z_FINISH
  return (input, output) => {
    const { failure, outputLeft, inputLeft } = engine(finish, input, output)
    if (outputLeft === 0 || inputLeft > 0) return undefined
    if (failure !== undefined) throw new Error(`bytes can't be compressed: ${failure}`)
    return output.byteLength - outputLeft
  }
}

function createStream(kind: CompressKind): object {
  const { createDeflate, createDeflateRaw, createGzip, createZstdCompress } =
    process.getBuiltinModule('node:zlib')
  if (kind.zstd === true) return createZstdCompress(zstdOptions(kind))
  if (kind.gzip === true) return createGzip({ level: kind.level })
  const { wrapped, level, windowBits } = kind
  return (wrapped ? createDeflate : createDeflateRaw)({ level, windowBits })
}

function zstdOptions({ level }: ZstdKind): { params: Record<number, number> } {
  return { params: { [process.getBuiltinModule('node:zlib').constants.ZSTD_c_compressionLevel]: level } }
}

/** Whether streams after each other are those of the public call, in shared memory and behind one without room too. */
function works(deflate: Deflater, kind: CompressKind): boolean {
  const anew = createDeflaterAnew(kind)
  const attempt = (one: Deflater, input: Uint8Array, roomBytes: number): string => {
    const output = new Uint8Array(new SharedArrayBuffer(roomBytes))
    const length = one(input, output)
    return length === undefined ? 'no room' : output.subarray(0, length).join('.')
  }
  try {
    return (
      [
        [Uint8Array.of(97, 98, 97, 98, 97), 4096],
        [Uint8Array.of(7, 1, 200, 77, 5), 4],
        [new Uint8Array(999), 4096],
        [Uint8Array.of(7), 4096],
      ] as const
    ).every(([input, room]) => attempt(deflate, input, room) === attempt(anew, input, room))
  } catch {
    return false
  }
}

/** The same with the public call. */
export function createDeflaterAnew(kind: CompressKind): Deflater {
  const { deflateRawSync, deflateSync, gzipSync, zstdCompressSync } = process.getBuiltinModule('node:zlib')
  const compress = (input: Uint8Array): Uint8Array => {
    if (kind.zstd === true) return zstdCompressSync(input, zstdOptions(kind))
    if (kind.gzip === true) return gzipSync(input, { level: kind.level })
    return (kind.wrapped ? deflateSync : deflateRawSync)(input, kind)
  }
  return (input, output) => {
    const bytes = compress(input)
    // As one that is not told that it ends where there is no room left.
    if (bytes.length >= output.length) return undefined
    output.set(bytes)
    return bytes.length
  }
}
