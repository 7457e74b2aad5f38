import type { RandomAccessReader } from '@disk-image/core'
import { allocateBuffer, readFullyFrom } from '@disk-image/io'
import { DiskChangedError, refuse } from './errors.ts'
import { viewOf } from './layouts/fields.ts'

/** An image file whose bytes are read only where the file has them. */
export class ImageFile {
  readonly #reader: RandomAccessReader
  readonly #format: string

  /** @param format begins the names of the rules */
  constructor(reader: RandomAccessReader, format: string) {
    this.#reader = reader
    this.#format = format
  }

  /** Without a bound while the file still comes. */
  get sizeBytes(): number {
    return this.#reader.size
  }

  /** Whether the end of the file is known. */
  get isWhole(): boolean {
    return Number.isFinite(this.#reader.size)
  }

  /**
   * Exactly so many bytes of a table or header.
   *
   * @throws {DiskFormatError} `FORMAT-truncated` where they don't all lie in the file
   */
  async readBytes(offset: number, length: number, what: string): Promise<Uint8Array> {
    this.requireInside(offset, length, what)
    const bytes = allocateBuffer(length)
    await this.fill(offset, bytes, what)
    return bytes
  }

  /** The same, or fewer where the file ends before. */
  async readUpTo(offset: number, length: number): Promise<Uint8Array> {
    const bytes = allocateBuffer(length)
    return bytes.subarray(0, await readFullyFrom(this.#reader, bytes, offset))
  }

  /** Exactly so many bytes as numbers. */
  async read(offset: number, length: number, what: string): Promise<DataView> {
    return viewOf(await this.readBytes(offset, length, what))
  }

  /** @throws {DiskFormatError} `FORMAT-truncated` where the bytes don't all lie in the file */
  requireInside(offset: number, length: number, what: string): void {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > this.sizeBytes) {
      refuse(`${this.#format}-truncated`, `the file ends before the end of ${what}`, {
        found: `${this.sizeBytes} bytes`,
        offset: Number.isSafeInteger(offset) ? offset : undefined,
        accepted: `at least ${offset + length} bytes`,
      })
    }
  }

  /** Fills memory from a place whose bytes all lie in the file. */
  async fill(offset: number, bytes: Uint8Array, what = 'a block'): Promise<void> {
    const read = await readFullyFrom(this.#reader, bytes, offset)
    if (read === bytes.length) return
    // Of a file that still came the end was not known.
    this.requireInside(offset, bytes.length, what)
    throw new DiskChangedError('its file became shorter', offset)
  }
}

/** What every disk is opened with. */
export interface OpenDiskOptions {
  /** Ends every read, from now until the disk is closed. */
  readonly signal?: AbortSignal | undefined
}
