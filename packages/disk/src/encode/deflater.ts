/** How bytes are deflated. */
export interface DeflateKind {
  /** Nothing around the stream, or zlib's header and checksum. */
  readonly wrapped: boolean
  /** 1 to 9. */
  readonly level: number
  /** Bits of the window, 9 to 15. */
  readonly windowBits: number
}

/**
 * Deflates each input as a stream of its own.
 *
 * @param output with room for it: {@link deflateSlackBytes} more than the input has
 * @returns bytes of the stream
 */
export type Deflater = (input: Uint8Array, output: Uint8Array) => number

/** What an input that can't be compressed may grow by, up to 2 MiB of it. */
export const deflateSlackBytes = 4096

/** What is used of the object behind a stream of `node:zlib`. */
interface Engine {
  onerror: (message: string, number: number, code: string) => void
  reset(): void
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputBytes: number,
    output: Uint8Array,
    outputOffset: number,
    outputBytes: number,
  ): void
}

/**
 * One engine for all streams, as `createInflater` has one, and for the same reason: the public call makes one of
 * 256 KiB each time. Where Node.js' own does not work as it is known to, it is the public call; the bytes are the same.
 */
export function createDeflater(kind: DeflateKind): Deflater {
  const deflate = createReusingDeflater(kind)
  return deflate !== undefined && works(deflate, kind) ? deflate : createDeflaterAnew(kind)
}

function createReusingDeflater({ wrapped, level, windowBits }: DeflateKind): Deflater | undefined {
  const { constants, createDeflate, createDeflateRaw } = process.getBuiltinModule('node:zlib')
  const { _handle: engine, _writeState: left } = (wrapped ? createDeflate : createDeflateRaw)({
    level,
    windowBits,
  }) as unknown as { readonly _handle?: Partial<Engine>; readonly _writeState?: unknown }
  if (!isEngine(engine) || !(left instanceof Uint32Array)) return undefined
  let failure: string | undefined
  engine.onerror = (_message, _number, code) => {
    failure = code
  }
  return (input, output) => {
    failure = undefined
    engine.reset()
    engine.writeSync(constants.Z_FINISH, input, 0, input.byteLength, output, 0, output.byteLength)
    const [outputLeft = 0, inputLeft = 0] = left
    if (failure !== undefined || outputLeft === 0 || inputLeft > 0) throw noRoom(failure)
    return output.byteLength - outputLeft
  }
}

function isEngine(engine: Partial<Engine> | undefined): engine is Engine {
  return typeof engine?.reset === 'function' && typeof engine.writeSync === 'function'
}

/** Whether streams after each other are those of the public call, in shared memory too. */
function works(deflate: Deflater, kind: DeflateKind): boolean {
  const anew = createDeflaterAnew(kind)
  const attempt = (one: Deflater, input: Uint8Array): string => {
    const output = new Uint8Array(new SharedArrayBuffer(4096))
    return output.subarray(0, one(input, output)).join('.')
  }
  try {
    return [Uint8Array.of(97, 98, 97, 98, 97), new Uint8Array(999), Uint8Array.of(7)].every(
      (input) => attempt(deflate, input) === attempt(anew, input),
    )
  } catch {
    return false
  }
}

/** The same with the public call. */
export function createDeflaterAnew({ wrapped, level, windowBits }: DeflateKind): Deflater {
  const { deflateRawSync, deflateSync } = process.getBuiltinModule('node:zlib')
  return (input, output) => {
    const bytes = (wrapped ? deflateSync : deflateRawSync)(input, { level, windowBits })
    if (bytes.length > output.length) throw noRoom(undefined)
    output.set(bytes)
    return bytes.length
  }
}

function noRoom(code: string | undefined): Error {
  return new Error(`a stream does not fit where it is deflated to${code === undefined ? '' : `: ${code}`}`)
}
