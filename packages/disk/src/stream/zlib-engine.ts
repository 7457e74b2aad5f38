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

/** What one stream left over. */
export interface EngineLeft {
  /** A code of zlib, where it failed. */
  readonly failure: string | undefined
  /** Room of the output. */
  readonly outputLeft: number
  /** Bytes of the input. */
  readonly inputLeft: number
}

/** Turns an input, as a stream of its own, into given memory. */
export type ZlibEngine = (flush: number, input: Uint8Array, output: Uint8Array) => EngineLeft

/**
 * The engine of a stream, for one input after the other. A public call makes an engine, a stream around it and a buffer
 * each time; no public one keeps them, so Node.js' own is used, as npm's `minizlib` does. Who uses it tries first whether
 * it works as it is known to.
 *
 * @returns undefined where there is none that is known
 */
export function openZlibEngine(stream: object): ZlibEngine | undefined {
  const { _handle: engine, _writeState: left } = stream as {
    readonly _handle?: Partial<Engine>
    /** Room left of the output, and bytes left of the input. */
    readonly _writeState?: unknown
  }
  if (!isEngine(engine) || !(left instanceof Uint32Array)) return undefined
  let failure: string | undefined
  engine.onerror = (_message, _number, code) => {
    failure = code
  }
  return (flush, input, output) => {
    failure = undefined
    engine.reset()
    engine.writeSync(flush, input, 0, input.byteLength, output, 0, output.byteLength)
    const [outputLeft = 0, inputLeft = 0] = left
    return { failure, outputLeft, inputLeft }
  }
}

function isEngine(engine: Partial<Engine> | undefined): engine is Engine {
  return typeof engine?.reset === 'function' && typeof engine.writeSync === 'function'
}
