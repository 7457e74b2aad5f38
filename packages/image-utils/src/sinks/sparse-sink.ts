import type { ByteSink } from '@disk-image/core'
import { createZeroDetector, type Volume, writeSparsely } from '@disk-image/host'

/**
 * Writes a stream onto a volume from its start, leaving out what is zero: a hole in a file, safe zeroes on a
 * device. With `sparse` false every byte is written.
 */
export class SparseSink implements ByteSink {
  readonly #volume: Volume
  readonly #sparse: boolean
  readonly #detector = createZeroDetector()
  #offset = 0
  #written = 0

  constructor(volume: Volume, options: { readonly sparse: boolean }) {
    this.#volume = volume
    this.#sparse = options.sparse
  }

  /** Bytes taken so far. */
  get offset(): number {
    return this.#offset
  }

  /** Bytes really written so far. */
  get written(): number {
    return this.#written
  }

  async write(chunk: Uint8Array): Promise<void> {
    const start = this.#offset
    this.#offset += chunk.length
    if (this.#sparse) {
      const { dataBytes } = await writeSparsely(this.#volume, chunk, start, this.#detector)
      this.#written += dataBytes
    } else {
      await this.#volume.write(chunk, start)
      this.#written += chunk.length
    }
  }
}
