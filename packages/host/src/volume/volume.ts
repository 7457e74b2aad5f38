import { constants } from 'node:fs'
import { open, statfs, type FileHandle } from 'node:fs/promises'
import { formatBytes, ImageTooBigError, InvalidError, type Target, KiB } from '@disk-image/core'
import { closeAll, writeFully, isPageAligned, pageBytes } from '@disk-image/io'
import type { PartOf } from '../temporary/part-record.ts'
import type { Partial } from '../temporary/partial.ts'
import { BackgroundSync, DirectIoGovernor } from './disk-speed.ts'
import { type HeldRange, HeldRanges, WrittenBlocks } from './ranges.ts'
import { type Medium, type VolumeHandle, writeZeros } from './media.ts'
import { spaceError } from '../files/space.ts'
import type { WriteGuard } from './guarded-handle.ts'

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
  /** Says that everything before this offset is written: of a new file it may be kept after a kill. */
  reached(bytes: number): void
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
  /** What it is the beginning of, as soon as that is known; absent where nothing is kept of it. */
  readonly whole?: (() => PartOf | undefined) | undefined
  /** Nothing is written beyond it. */
  readonly boundBytes: number
  /** Of a file, at least. */
  readonly fileLengthBytes: number
  readonly imageId: string
  /** Whether it has to be on the disk at the end. */
  readonly durable: boolean
  /** Whether it is read next, and then removed. */
  readonly temporary: boolean
  /** Where it may be written for a limited time only; `handle` is guarded by it. */
  readonly guard: WriteGuard | undefined
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
  #reached = 0
  /** What is there already: it is not written again. */
  readonly #keptBytes: number

  constructor(init: VolumeInit) {
    const { handle, medium, durable, temporary, guard } = init
    this.#init = init
    this.#handle = handle
    this.#medium = medium
    this.#held = new HeldRanges(medium.held)
    this.#keptBytes = init.partial?.kept?.bytes ?? 0
    this.#background = durable ? new BackgroundSync(handle, () => this.#recordLater()) : undefined
    // What is read next is best in the cache.
    this.#direct =
      temporary || handle.fd < 0 ? undefined : new DirectWrites(handle, medium.kind, durable, guard)
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
      const isKept = Math.min(Math.max(0, this.#keptBytes - offset), bytes.byteLength)
      if (isKept === bytes.byteLength) return
      if (isKept > 0) return this.#writePart(bytes.subarray(isKept), offset + isKept)
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

  reached(bytes: number): void {
    this.#reached = bytes
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
      for (const { start, bytes } of this.#held.bulk(sizeBytes)) await writeFully(this.#handle, bytes, start)
      await this.#background?.settle()
      await this.#sync()
      // From here on it can be taken for a disk.
      await this.#init.guard?.confirm()
      if (partial === undefined) await this.#medium.setLength(length)
      await this.#writeHeld(sizeBytes)
    })
    await check?.(partial?.path ?? path)
    await this.#withSpace(sizeBytes, async () => partial?.publish({ durable }))
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

  /** What is written by now is on the disk after the next sync, and can be written down then. */
  #recordLater(): (() => Promise<void>) | undefined {
    const { partial, whole } = this.#init
    const bytes = this.#reached - (this.#reached % pageBytes)
    const known = partial === undefined || bytes <= this.#keptBytes ? undefined : whole?.()
    return known === undefined ? undefined : async () => partial?.record(known, bytes)
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

  /**
   * The head comes last, in one write: without it nothing else is found. All but its signatures is on the disk by then,
   * so that no part of that write shows what is not whole.
   */
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
    await closeAll(this.#direct, this.#init.guard, this.#handle, this.#init.partial)
  }
}

/** Shorter writes go through the page cache, which puts them together: each of these waits for the device. */
const leastBytes = 256 * KiB

/**
 * Each write keeps one of the four threads busy that do Node.js' file work, until the device has it; what comes
 * meanwhile goes through the page cache. A single volume is quickest with two at once, several together with three.
 */
const mostOfOne = 2
const mostOfAll = 3
const underWayOfAll = new Set<object>()

/** File systems for which it is known to be faster: ext2 to ext4, and XFS. @see statfs(2) for the numbers */
const quickFileSystems: ReadonlySet<number> = new Set([0xef53, 0x58465342])

/**
 * Writes past the page cache (O_DIRECT) what lends itself to it: large pieces from page-aligned memory. It saves a
 * copy of every byte, and the memory for it, which a virtual machine may first have to get from its host. Beside it
 * the rest may be written through the cache, as long as no page gets both. Where the disk turns out to be slow, what
 * comes next is, at least for a while.
 */
export class DirectWrites {
  readonly #handle: Pick<FileHandle, 'fd'>
  readonly #kind: 'file' | 'block-device'
  /** Opened when it is first needed; undefined where the file can't be, or wouldn't be faster. */
  #direct: Promise<FileHandle | undefined> | undefined
  readonly #governor: DirectIoGovernor
  readonly #guard: WriteGuard | undefined
  #givenUp = false
  #underWay = 0

  /**
   * @param handle of what is written; it stays the owner's
   * @param triesAgain whether a disk that was slow is tried again; nobody waits for it where nothing has to be durable
   */
  constructor(
    handle: Pick<FileHandle, 'fd'>,
    kind: 'file' | 'block-device',
    triesAgain = true,
    guard?: WriteGuard,
  ) {
    this.#guard = guard
    this.#handle = handle
    this.#kind = kind
    this.#governor = new DirectIoGovernor(triesAgain)
  }

  /**
   * Writes a chunk, if it lends itself to that.
   *
   * @returns how many bytes were written; the rest, which may be all, is left to the page cache
   */
  async write(chunk: Uint8Array, offset: number): Promise<number> {
    if (this.#givenUp || !isFit(chunk, offset) || !this.#governor.tries(chunk.byteLength)) return 0
    if (this.#underWay >= mostOfOne || underWayOfAll.size >= mostOfAll) return 0
    const one = {}
    underWayOfAll.add(one)
    this.#underWay += 1
    try {
      this.#direct ??= this.#open()
      const direct = await this.#direct
      if (direct === undefined) return 0
      const begun = performance.now()
      const { bytesWritten } = await direct.write(chunk, 0, chunk.byteLength, offset)
      this.#governor.took(bytesWritten, performance.now() - begun)
      return bytesWritten
    } catch (error) {
      if (!isRefusal(error)) throw error
      this.#givenUp = true
      return 0
    } finally {
      this.#underWay -= 1
      underWayOfAll.delete(one)
    }
  }

  async close(): Promise<void> {
    this.#givenUp = true
    const direct = await this.#direct
    await direct?.close()
  }

  async #open(): Promise<FileHandle | undefined> {
    const flag = constants.O_DIRECT as number | undefined
    // The open file itself, whatever its path leads to by now.
    const same = `/proc/self/fd/${this.#handle.fd}`
    try {
      if (flag === undefined) return undefined
      if (this.#kind === 'file' && !quickFileSystems.has((await statfs(same)).type)) return undefined
      const direct = await open(same, constants.O_WRONLY | flag)
      return this.#guard?.guard(direct) ?? direct
    } catch {
      return undefined
    }
  }
}

function isFit(chunk: Uint8Array, offset: number): boolean {
  const { byteLength } = chunk
  return (
    byteLength >= leastBytes &&
    byteLength % pageBytes === 0 &&
    offset % pageBytes === 0 &&
    isPageAligned(chunk)
  )
}

/** What a file answers to O_DIRECT as such, or to this length or place. */
function isRefusal(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EINVAL' || code === 'EOPNOTSUPP' || code === 'ENOTSUP'
}
