import { type UnpackedReceiver, Unpacker } from './unpacker.ts'

/** Largest window that is accepted, as a power of two: 128 MiB, zstd's own limit where none is given. */
const largestWindow = 27

/** Frames that any data may have, and how many bytes each further one has at least: each costs time. */
const freeFrames = 4096
const shortestFrame = 96

function createUnpacker(): Unpacker {
  const { constants, createZstdDecompress } = process.getBuiltinModule('node:zlib')
  const params = { [constants.ZSTD_d_windowLogMax]: largestWindow }
  return new Unpacker(createZstdDecompress({ chunkSize: 256 * 1024, params }))
}

/** Why bytes are no Zstandard data that can be taken, at a byte of them. */
export class ZstdError extends Error {
  readonly offset: number

  constructor(reason: string, offset: number, cause?: unknown) {
    super(reason, { cause })
    this.name = 'ZstdError'
    this.offset = offset
  }
}

/**
 * Unpacks Zstandard as it arrives: one frame or several, also such as are to be skipped.
 *
 * @see RFC 8878
 */
export class ZstdDecoder {
  readonly #receive: UnpackedReceiver
  #unpacker: Unpacker = createUnpacker()
  #offset = 0
  #frames = 1

  constructor(receive: UnpackedReceiver) {
    this.#receive = receive
  }

  /** @throws {ZstdError} */
  async write(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.length > 0;) {
      const taken = await this.#explained(() => this.#unpacker.write(rest, this.#receive))
      this.#offset += taken ?? rest.length
      if (taken === undefined) return
      this.#beginFrame()
      rest = rest.subarray(taken)
    }
  }

  /** @throws {ZstdError} */
  async end(): Promise<void> {
    if (this.#offset === 0) throw new ZstdError('it is empty', 0)
    await this.#explained(() => this.#unpacker.end(this.#receive))
  }

  destroy(): void {
    this.#unpacker.destroy()
  }

  /** The end of a frame within what was written is the end of a stream of Node.js. */
  #beginFrame(): void {
    this.#unpacker.destroy()
    this.#frames += 1
    if (this.#frames > freeFrames + this.#offset / shortestFrame) {
      throw new ZstdError('it has more frames than its length explains', this.#offset)
    }
    this.#unpacker = createUnpacker()
  }

  async #explained<Value>(act: () => Promise<Value>): Promise<Value> {
    try {
      return await act()
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      if (code === 'Z_BUF_ERROR') throw new ZstdError('it stops before its end', this.#offset, error)
      if (!code.startsWith('ZSTD_')) throw error
      const isLarge = code === 'ZSTD_error_frameParameter_windowTooLarge'
      const reason = isLarge ? 'it wants a window of more than 128 MiB' : (error as Error).message
      throw new ZstdError(reason, this.#offset, error)
    }
  }
}
