import { type Disk, type Extent, MiB, type Target } from '@disk-image/core'
import { allocateBuffer, isZero } from '@disk-image/io'

/** What a comparison throws to end at the first difference. */
class DifferenceFoundError extends Error {
  override readonly name = 'DifferenceFoundError'
}

/**
 * Takes a disk from its start to its end, as a target does, and compares it with one that is there. Behind the shorter
 * one's end the longer one must be zero. Where nothing is stored, nothing is read.
 */
export class ComparingTarget implements Target {
  readonly #disk: Disk
  readonly #extents: AsyncIterator<Extent>
  readonly #signal: AbortSignal | undefined
  readonly #buffer = allocateBuffer(MiB)
  #extent: Extent | undefined
  /** First byte that differs; undefined while none does. */
  differsAt: number | undefined
  /** Bytes of the disk that came; undefined until all of it did. */
  sizeBytes: number | undefined

  constructor(disk: Disk, signal: AbortSignal | undefined) {
    this.#disk = disk
    this.#signal = signal
    this.#extents = disk.extents({ signal })[Symbol.asyncIterator]()
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for await (const { start, end, there } of this.#parts(offset, bytes.length)) {
      const given = bytes.subarray(start - offset, end - offset)
      if (there === undefined ? isZero(given) : Buffer.compare(given, there) === 0) continue
      this.#differ(start + given.findIndex((byte, index) => byte !== (there?.[index] ?? 0)))
    }
  }

  async zero(offset: number, length: number): Promise<void> {
    for await (const { start, there } of this.#parts(offset, length)) {
      if (there !== undefined && !isZero(there)) this.#differ(start + there.findIndex((byte) => byte !== 0))
    }
  }

  async commit(sizeBytes: number): Promise<void> {
    await this.zero(sizeBytes, Math.max(0, this.#disk.size - sizeBytes))
    this.sizeBytes = sizeBytes
  }

  async abandon(): Promise<void> {
    await this.#extents.return?.()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon()
  }

  #differ(at: number): never {
    this.differsAt = at
    throw new DifferenceFoundError(`The disks differ at byte ${at}.`)
  }

  /** A range in parts of a MiB at most, with what the disk has there; undefined where that reads as zero. */
  async *#parts(
    offset: number,
    length: number,
  ): AsyncGenerator<{
    readonly start: number
    readonly end: number
    readonly there: Uint8Array | undefined
  }> {
    for (let start = offset; start < offset + length;) {
      this.#signal?.throwIfAborted()
      const extent = await this.#extentAt(start)
      const isData = extent?.kind === 'data'
      const extentEnd = extent === undefined ? Infinity : extent.offset + extent.length
      const end = Math.min(offset + length, extentEnd, isData ? start + MiB : Infinity)
      const there = isData ? await this.#disk.read(start, end - start, this.#buffer) : undefined
      yield { start, end, there }
      start = end
    }
  }

  /** It is asked for in order. Undefined behind the disk's end. */
  async #extentAt(offset: number): Promise<Extent | undefined> {
    while (offset < this.#disk.size) {
      if (this.#extent !== undefined && offset < this.#extent.offset + this.#extent.length)
        return this.#extent
      const next = await this.#extents.next()
      if (next.done === true) return undefined
      this.#extent = next.value
    }
    return undefined
  }
}
