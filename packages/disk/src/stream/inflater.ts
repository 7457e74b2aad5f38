import { openZlibEngine } from './zlib-engine.ts'

/** What a stream was and became, in bytes. */
export interface Inflated {
  /** Of the input; whatever follows the stream was left. */
  readonly consumedBytes: number
  /** Into the output. All of it: there may have been more. */
  readonly producedBytes: number
}

/** What a stream is wrapped in: nothing, or zlib's header and checksum. */
type StreamKind = 'raw' | 'zlib'

/**
 * Inflates deflate streams of one kind into given memory, one after the other.
 *
 * @returns a code of zlib, where the stream is damaged or cut short
 */
export type Inflater = (input: Uint8Array, output: Uint8Array) => Inflated | string

/**
 * One engine for all streams, which inflates where the bytes belong. A public call makes one for each cluster: a seventh
 * of the time. Where Node.js' own does not work as it is known to, it is the public call.
 */
export function createInflater(kind: StreamKind): Inflater {
  const inflate = createReusingInflater(kind)
  return inflate !== undefined && works(inflate, kind) ? inflate : createInflaterAnew(kind)
}

function createReusingInflater(kind: StreamKind): Inflater | undefined {
  // Not imported: it takes 2 ms to load, and most images have nothing compressed.
  const { constants, createInflate, createInflateRaw } = process.getBuiltinModule('node:zlib')
  const create = kind === 'raw' ? createInflateRaw : createInflate
  const engine = openZlibEngine(create())
  if (engine === undefined) return undefined
  return (input, output) => {
    const { failure, outputLeft, inputLeft } = engine(constants.Z_FINISH, input, output)
    if (failure !== undefined) return failure
    return {
      consumedBytes: input.byteLength - inputLeft,
      producedBytes: output.byteLength - outputLeft,
    }
  }
}

/** The letters abc as a stored block, and a byte behind the stream. */
const samples: Readonly<Record<StreamKind, Uint8Array>> = {
  raw: Uint8Array.of(1, 3, 0, 252, 255, 97, 98, 99, 7),
  zlib: Uint8Array.of(0x78, 1, 1, 3, 0, 252, 255, 97, 98, 99, 2, 0x4d, 1, 0x27, 7),
}

/** Tries what matters: the end of a stream, more than there is room for, damage, and streams after each other. */
function works(inflate: Inflater, kind: StreamKind): boolean {
  const stream = samples[kind]
  const whole = stream.length - 1
  const attempts: readonly (readonly [input: Uint8Array, roomBytes: number])[] = [
    [stream, 4],
    [stream, 2],
    [Uint8Array.of(255, 255), 4],
    [stream.subarray(0, whole - 1), 4],
    [stream, 4],
  ]
  const attempt = ([input, roomBytes]: (typeof attempts)[number]): string => {
    // Shared memory, as that of the pool is.
    const output = new Uint8Array(new SharedArrayBuffer(roomBytes))
    const result = inflate(input, output)
    return typeof result === 'string'
      ? result
      : `${result.consumedBytes}:${result.producedBytes}:${output.join('.')}`
  }
  const read = `${whole}:3:97.98.99.0`
  // Behind the letters stands the checksum, which is not read where there is no room for them.
  const full = `${kind === 'raw' ? 7 : 9}:2:97.98`
  try {
    return attempts.map(attempt).join(' ') === [read, full, 'Z_DATA_ERROR', 'Z_BUF_ERROR', read].join(' ')
  } catch {
    return false
  }
}

/** The same with the public call. */
export function createInflaterAnew(kind: StreamKind): Inflater {
  return (input, output) => inflateAnew(kind, input, output)
}

function inflateAnew(kind: StreamKind, input: Uint8Array, output: Uint8Array): Inflated | string {
  const { inflateRawSync, inflateSync } = process.getBuiltinModule('node:zlib')
  const inflate = kind === 'raw' ? inflateRawSync : inflateSync
  const chunkSize = Math.max(64, output.byteLength)
  try {
    // With `info`, Node returns the buffer and the engine, whose counter is of input bytes.
    const { buffer, engine } = inflate(input, {
      chunkSize,
      maxOutputLength: output.byteLength,
      info: true,
    }) as unknown as { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } }
    const producedBytes = buffer.byteLength
    output.set(buffer)
    freeBuffer(buffer, chunkSize)
    return { consumedBytes: engine.bytesWritten, producedBytes }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      return { consumedBytes: input.byteLength, producedBytes: output.byteLength }
    }
    if (code.startsWith('Z_')) return code
    throw error
  }
}

/**
 * Frees what was copied. Left to the collector, some 64 MiB of inflated clusters pile up in each thread. Only a
 * buffer that was made for one call alone is touched, which its size tells: no pool is of that size.
 *
 * @param bytes what the call was to allocate
 */
export function freeBuffer({ buffer }: Uint8Array, bytes: number): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes) buffer.transfer(0)
}
