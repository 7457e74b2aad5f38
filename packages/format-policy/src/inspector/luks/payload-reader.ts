import type { RandomAccessReader } from '@disk-image/core'
import { type LuksLayout, readFully } from '@disk-image/disk/layouts'
import type { SectorCipher } from './sector-cipher.ts'

/** Most that is decrypted at once; longer reads get a shorter answer. */
const mostBytes = 1024 * 1024

/** The disk inside a container: reads and decrypts only the sectors asked for. */
export class PayloadReader implements RandomAccessReader {
  readonly size: number
  readonly #reader: RandomAccessReader
  readonly #layout: LuksLayout
  readonly #cipher: SectorCipher
  readonly #signal: AbortSignal | undefined

  constructor(
    reader: RandomAccessReader,
    layout: LuksLayout,
    cipher: SectorCipher,
    signal: AbortSignal | undefined,
  ) {
    this.size = layout.sizeBytes
    this.#reader = reader
    this.#layout = layout
    this.#cipher = cipher
    this.#signal = signal
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { sectorBytes, payloadOffset, vectorOffset } = this.#layout
    const start = Math.floor(offset / sectorBytes) * sectorBytes
    const end = Math.min(offset + length, this.size, start + mostBytes)
    if (end <= offset) return new Uint8Array(0)
    const span = Math.ceil((end - start) / sectorBytes) * sectorBytes
    // A copy: the bytes are decrypted in place, and a reader may keep its own.
    const read = new Uint8Array(await readFully(this.#reader, payloadOffset + start, span, this.#signal))
    const bytes = read.subarray(0, Math.floor(read.length / sectorBytes) * sectorBytes)
    this.#cipher.decrypt(bytes, vectorOffset + start / 512, sectorBytes)
    return bytes.subarray(offset - start, end - start)
  }
}
