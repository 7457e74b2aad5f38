import { formatBytes, ImageTooBigError, InvalidError, type Target } from '@disk-image/core'
import { writeFully } from '@disk-image/io'
import type { Partial } from '../temporary/partial.ts'
import { BackgroundSync } from './background-sync.ts'
import { DirectWrites } from './direct-writes.ts'
import { type HeldRange, HeldRanges, WrittenBlocks } from './ranges.ts'
import type { Medium } from './media.ts'
import type { VolumeHandle } from './root-handle.ts'
import { spaceError } from '../files/space.ts'
import { writeZeros } from './write-zeros.ts'

/**
 * A volume opened for one pass of writing. About 1 MiB each is fastest; what is written beyond the size that was
 * announced is refused.
 *
 * `zero` makes a hole in a file; on a device, zeros that are known or written. `commit` sets a file's length, and when
 * everything else is on the disk writes the head, or gives a new file its name; what was opened as not durable is done
 * in the same order, without waiting for the disk. It throws an `InvalidError` where something else has the new
 * file's name by then. `abandon` removes a new file, makes a hole of one that was there, and wipes the ends of a
 * device, where anything was written.
 */
export interface Volume extends Target {
  readonly path: string
  readonly kind: 'file' | 'block-device'
  /** Capacity of a device; of a file, what was announced, or 0. */
  readonly sizeBytes: number
  /** Whether it is a new file. It has its name when it is committed, not before. */
  readonly created: boolean
  /** Whether anything of the old content may be gone. */
  readonly touched: boolean
  /** Closes it; abandons it first where it was touched and not committed. */
  close(): Promise<void>
}

/** What a volume is made from. */
export interface VolumeInit {
  readonly handle: VolumeHandle
  readonly path: string
  readonly medium: Medium
  /** Of a new file: where it is until it is committed. */
  readonly partial: Partial | undefined
  /** Nothing is written beyond it. */
  readonly boundBytes: number
  /** Of a file, at least. */
  readonly fileLengthBytes: number
  readonly imageId: string
  /** Whether it has to be on the disk at the end. */
  readonly durable: boolean
  /** Whether it is read next, and then removed. */
  readonly temporary: boolean
}

/** The life of a volume: prepared at the first change, then written, then committed or abandoned, then closed. */
export class OpenedVolume implements Volume {
  readonly #init: VolumeInit
  readonly #medium: Medium
  readonly #handle: VolumeHandle
  readonly #written = new WrittenBlocks()
  readonly #held: HeldRanges
  readonly #background: BackgroundSync | undefined
  readonly #direct: DirectWrites | undefined
  #prepared: Promise<void> | undefined
  #isCommitted = false
  #closed: Promise<void> | undefined
  /** Behind the last byte that was written or is zero. */
  #end = 0

  constructor(init: VolumeInit) {
    const { handle, medium, durable, temporary } = init
    this.#init = init
    this.#handle = handle
    this.#medium = medium
    this.#held = new HeldRanges(medium.held)
    this.#background = durable ? new BackgroundSync(handle) : undefined
    // What is read next is best in the cache.
    this.#direct = temporary || handle.fd < 0 ? undefined : new DirectWrites(handle, medium.kind, durable)
  }

  get path(): string {
    return this.#init.path
  }

  get kind(): Volume['kind'] {
    return this.#medium.kind
  }

  get sizeBytes(): number {
    return this.#medium.sizeBytes
  }

  get created(): boolean {
    return this.#init.partial !== undefined
  }

  get touched(): boolean {
    return this.#prepared !== undefined
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#claim(offset, bytes.byteLength)
    await this.#withSpace(offset + bytes.byteLength, async () => {
      await this.#prepare()
      for (const part of this.#held.take(offset, bytes.byteLength, bytes)) {
        await this.#writePart(bytes.subarray(part.start, part.end), offset + part.start)
      }
      // Also what went past the page cache: the disk has a cache of its own, which takes its time at the end.
      this.#background?.wrote(bytes.byteLength)
    })
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#claim(offset, length)
    await this.#withSpace(offset + length, async () => {
      await this.#prepare()
      for (const part of this.#held.take(offset, length)) {
        const start = offset + part.start
        const bytes = part.end - part.start
        const isZero = this.#medium.zeroed() && !this.#written.mayHave(start, bytes)
        if (!isZero) await writeZeros(this.#handle, start, bytes)
      }
    })
  }

  async commit(sizeBytes: number, check?: (path: string) => Promise<void>): Promise<void> {
    const { path, partial, durable, fileLengthBytes } = this.#init
    this.#claim(sizeBytes, 0)
    if (sizeBytes < this.#end) {
      const reason = `${path} has ${this.#end} bytes written, and can't be committed with ${sizeBytes}`
      throw new InvalidError({ reason })
    }
    await this.#withSpace(sizeBytes, async () => {
      await this.#prepare()
      const length = this.kind === 'file' ? Math.max(sizeBytes, fileLengthBytes) : sizeBytes
      if (partial !== undefined) await this.#medium.setLength(length)
      await this.#background?.settle()
      await this.#sync()
      if (partial === undefined) await this.#medium.setLength(length)
      await this.#writeHeld(sizeBytes)
    })
    await check?.(partial?.path ?? path)
    await partial?.publish({ durable })
    this.#isCommitted = true
  }

  async abandon(): Promise<void> {
    if (this.#closed !== undefined || this.#isCommitted) return
    const { partial } = this.#init
    try {
      if (partial !== undefined) await partial.discard()
      else if (this.touched) await this.#wipe()
    } catch {
      // Best effort: whatever failed before is what the caller has to hear of.
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #prepare(): Promise<void> {
    this.#prepared ??= this.#medium.prepare()
    return this.#prepared
  }

  /** Checks a range before anything is done with it. */
  #claim(offset: number, length: number): void {
    const { path, boundBytes, imageId } = this.#init
    const end = offset + length
    if (![offset, length, end].every((bytes) => Number.isSafeInteger(bytes) && bytes >= 0)) {
      throw new InvalidError({ reason: `Bytes ${offset} to ${end} of ${path} can't be written` })
    }
    if (this.kind === 'block-device' && end > this.sizeBytes) {
      const reason = `${formatBytes(end)} do not fit on ${path}, which has ${formatBytes(this.sizeBytes)}`
      throw new ImageTooBigError({ imageId, reason })
    }
    if (end > boundBytes) {
      const reason = `${formatBytes(end)} would be written to ${path}, and the disk has ${formatBytes(boundBytes)}`
      throw new ImageTooBigError({ imageId, reason })
    }
    this.#end = Math.max(this.#end, end)
  }

  /** Does it, and names the error where there was no room. */
  async #withSpace(bytes: number, act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      const { path, imageId } = this.#init
      const neededBytes = Math.max(bytes, this.kind === 'file' ? this.sizeBytes : 0)
      throw (await spaceError(error, { path, neededBytes, imageId })) ?? error
    }
  }

  async #writePart(bytes: Uint8Array, offset: number): Promise<void> {
    this.#written.add(offset, bytes.byteLength)
    await this.#medium.reach(offset + bytes.byteLength)
    const done = (await this.#direct?.write(bytes, offset)) ?? 0
    if (done < bytes.byteLength) await writeFully(this.#handle, bytes.subarray(done), offset + done)
  }

  /** The head comes last, in one write: without it nothing else is found. */
  async #writeHeld(sizeBytes: number): Promise<void> {
    const [head, ...others] = this.#held.ranges
    if (head === undefined) return
    const isFile = this.kind === 'file'
    const written = await this.#writeRanges(others, sizeBytes)
    if (written > 0 || isFile) await this.#sync()
    if ((await this.#writeRanges([head], sizeBytes)) > 0) await this.#sync()
  }

  /** @returns how many of them have more than zeros */
  async #writeRanges(ranges: readonly HeldRange[], sizeBytes: number): Promise<number> {
    let written = 0
    for (const range of ranges) {
      const bytes = this.#held.bytesOf(range, sizeBytes)
      if (bytes === undefined) continue
      await writeFully(this.#handle, bytes, range.start)
      written += 1
    }
    return written
  }

  async #sync(): Promise<void> {
    if (this.#init.durable) await this.#handle.datasync()
  }

  async #wipe(): Promise<void> {
    if (this.kind === 'file') {
      // Also where the disk is full: zeros that are written would need room, and this gives some back.
      await this.#handle.truncate(0)
      await this.#handle.truncate(Math.max(this.#end, this.sizeBytes))
    } else {
      for (const { start, end } of this.#medium.held) await writeZeros(this.#handle, start, end - start)
    }
    // Also of what needn't be durable: its data may be on the disk by now, and what was there must be gone.
    if (!this.#init.temporary) await this.#handle.datasync()
  }

  async #close(): Promise<void> {
    await this.abandon()
    await this.#background?.settle().catch(() => undefined)
    await this.#direct?.close()
    await this.#handle.close()
    await this.#init.partial?.close()
  }
}
