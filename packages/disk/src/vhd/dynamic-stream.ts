import { InvalidError, type Layout, type Refusal } from '@disk-image/core'
import { SpooledBytes } from '../stream/spool-file.ts'
import type { StreamDecoder, StreamDecoderOptions, StreamDecoderResult } from '../stream/stream-decoder.ts'
import { cutExtents, diskOf } from './chain-disk.ts'
import {
  footerBytes,
  roundUp,
  sectorBytes,
  latin1,
  judgeVhdFooter,
  parseVhdFooter,
  type VhdFooter,
} from './footer.ts'
import type { VhdLayout } from './layout.ts'
import { createChainDisk, requireWhole } from './open-vhd.ts'
import { readVhdLayout } from './read-layout.ts'
import { judgeTable, parseTable, sortedIndexes, unallocated } from './table.ts'
import { VhdError } from '../errors.ts'
import { headerBytes, parseVhdHeader, type VhdHeader } from './header.ts'

/** More written extents than these in one part are written together, in a copy that has zeros between them. */
const mostExtents = 4

/**
 * Decodes a dynamic VHD while it comes. Everything up to the end of its block table is spooled, and what is no block;
 * blocks behind the table go straight to their places, without the sectors that their bitmaps say are not there.
 *
 * At the end the spool holds the metadata, and the reader of whole files judges it as it would the file's.
 */
export async function openDynamicVhdStream(
  head: DynamicHead,
  options: StreamDecoderOptions,
): Promise<StreamDecoder> {
  return new DynamicVhdStream(head, options, await SpooledBytes.open(options.spool))
}

class DynamicVhdStream implements StreamDecoder {
  readonly #head: DynamicHead
  readonly #options: StreamDecoderOptions
  readonly #spool: SpooledBytes
  readonly #tableEnd: number
  readonly #blockBytes: number
  /** The table, as much of it as has come. */
  readonly #tableBytes: Uint8Array
  /** Its entries, when all of it has come, and the blocks in the order in which they lie in the file. */
  #table: Uint32Array | undefined
  #blocks: Float64Array = new Float64Array()
  /** Blocks that came before the table did, and the first that may still get bytes. */
  #earlyBlocks = 0
  #cursor = 0
  /** Of the block at the cursor. */
  readonly #bitmap: Uint8Array
  /** Where the header of a batmap would be, which is looked at in the end even where a block lies over it. */
  readonly #batmapOffset: number
  /** The last bytes that came. */
  #tail: Uint8Array = new Uint8Array()
  #nextOffset = 0
  #bytesWritten = 0
  /** Settles when all that came is in its place, or will never be. */
  #placed: Promise<unknown> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #isClosed = false

  constructor(head: DynamicHead, options: StreamDecoderOptions, spool: SpooledBytes) {
    const { header, blockCount, bitmapBytes } = head
    this.#head = head
    this.#options = options
    this.#spool = spool
    this.#blockBytes = header.blockSizeBytes
    this.#tableBytes = new Uint8Array(blockCount * 4)
    this.#tableEnd = header.tableOffset + this.#tableBytes.length
    this.#batmapOffset = roundUp(header.tableOffset + header.maximumEntries * 4, sectorBytes)
    this.#bitmap = new Uint8Array(bitmapBytes)
  }

  write(chunk: Uint8Array, offset: number): Promise<void> {
    if (offset !== this.#nextOffset) {
      const reason = `The stream goes on at ${this.#nextOffset}, not at ${offset}.`
      return Promise.reject(new InvalidError({ reason }))
    }
    this.#nextOffset += chunk.length
    const placed = this.#place(chunk, offset)
    this.#placed = Promise.allSettled([this.#placed, placed])
    return placed
  }

  /** Decides at once where each byte goes, so that the order of the calls is the order of the file. */
  async #place(chunk: Uint8Array, offset: number): Promise<void> {
    const writes: Promise<void>[] = []
    try {
      this.#throwIfStopped()
      this.#keepTail(chunk)
      for (let done = 0; done < chunk.length;) {
        done += this.#takePart(chunk.subarray(done), offset + done, writes)
      }
    } catch (error) {
      this.#failure ??= { error }
    }
    // Whatever became of one: the chunk is lent to all of them.
    for (const outcome of await Promise.allSettled(writes)) {
      if (outcome.status === 'rejected') this.#failure ??= { error: outcome.reason }
    }
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #keepTail(chunk: Uint8Array): void {
    this.#tail =
      chunk.length >= footerBytes
        ? chunk.slice(-footerBytes)
        : Buffer.concat([this.#tail, chunk]).subarray(-footerBytes)
  }

  /** Takes bytes of one kind. @returns how many */
  #takePart(bytes: Uint8Array, at: number, writes: Promise<void>[]): number {
    const spool = (end: number): number => {
      const part = bytes.subarray(0, end - at)
      writes.push(this.#spool.write(part, at))
      return part.length
    }
    if (this.#table === undefined) {
      const length = spool(Math.max(this.#tableEnd, at + 1))
      this.#keepTable(bytes.subarray(0, length), at)
      return length
    }
    const block = this.#blocks[this.#cursor]
    const start = block === undefined ? Infinity : (this.#table[block] as number) * sectorBytes
    if (block === undefined || at < start) return spool(start)
    const dataStart = start + this.#bitmap.length
    const dataEnd = dataStart + this.#blockBytes
    const part = bytes.subarray(0, (at < dataStart ? dataStart : dataEnd) - at)
    this.#spoolBatmapHeader(part, at, writes)
    if (at < dataStart) this.#bitmap.set(part, at - start)
    else this.#writeData(part, block, at - dataStart, writes)
    if (at + part.length === dataEnd) this.#cursor += 1
    return part.length
  }

  #spoolBatmapHeader(part: Uint8Array, at: number, writes: Promise<void>[]): void {
    const start = Math.max(at, this.#batmapOffset)
    const end = Math.min(at + part.length, this.#batmapOffset + sectorBytes)
    if (start < end) writes.push(this.#spool.write(part.subarray(start - at, end - at), start))
  }

  #keepTable(bytes: Uint8Array, at: number): void {
    const { tableOffset } = this.#head.header
    const part = bytes.subarray(Math.max(0, tableOffset - at))
    if (at + bytes.length > tableOffset) this.#tableBytes.set(part, Math.max(0, at - tableOffset))
    if (at + bytes.length >= this.#tableEnd) this.#openTable()
  }

  /** Judges the table without its end, which the reader does when that has come. */
  #openTable(): void {
    const table = parseTable(this.#tableBytes)
    const { footer } = this.#head
    const found = { footer, bytes: this.#tail, origin: 'start', tailBytes: 0, problems: [] } as const
    const { problems } = judgeTable(Infinity, found, { ...this.#head, table, batmap: undefined })
    const fatal = problems.find(({ severity }) => severity === 'fatal')
    if (fatal !== undefined) throw new VhdError(fatal)
    this.#table = table
    this.#blocks = sortedIndexes(table)
    const early = this.#blocks.findIndex((block) => (table[block] as number) * sectorBytes >= this.#tableEnd)
    this.#earlyBlocks = early === -1 ? this.#blocks.length : early
    this.#cursor = this.#earlyBlocks
  }

  /** @param inBlock where in the block's data the bytes are */
  #writeData(bytes: Uint8Array, block: number, inBlock: number, writes: Promise<void>[]): void {
    const blockStart = block * this.#blockBytes
    const start = blockStart + inBlock
    const end = Math.min(start + bytes.length, this.#head.footer.currentSizeBytes)
    // The last block may go on behind the disk's end.
    if (end <= start) return
    const extents: (readonly [start: number, end: number])[] = []
    cutExtents(this.#bitmap, start, end, blockStart, 0, (from, to, place) => {
      if (place !== undefined) extents.push([from, to])
    })
    const { writeZeros = false } = this.#options
    const written = extents.reduce((sum, [from, to]) => sum + to - from, 0)
    const isWhole = written === end - start
    if (extents.length > mostExtents || (writeZeros && !isWhole)) {
      const copy = new Uint8Array(end - start)
      for (const [from, to] of extents) copy.set(bytes.subarray(from - start, to - start), from - start)
      writes.push(this.#write(copy, start))
      return
    }
    for (const [from, to] of extents) writes.push(this.#write(bytes.subarray(from - start, to - start), from))
  }

  async #write(bytes: Uint8Array, offset: number): Promise<void> {
    if (bytes.length === 0) return
    await this.#options.target.write(bytes, offset)
    this.#bytesWritten += bytes.length
    const total = this.#head.footer.currentSizeBytes
    this.#options.onProgress?.({ stage: 'convert', completed: this.#bytesWritten, total, unit: 'bytes' })
  }

  async end(): Promise<StreamDecoderResult> {
    try {
      await this.#placed
      this.#throwIfStopped()
      await this.#spool.write(this.#tail, this.#nextOffset - this.#tail.length)
      const layout = await this.#judgeWhole()
      await this.#copyEarly(layout)
      if (this.#options.writeZeros === true) await this.#zeroOthers(layout)
      this.#throwIfStopped()
      return { virtualSizeBytes: layout.sizeBytes, bytesWritten: this.#bytesWritten }
    } finally {
      await this.close()
    }
  }

  /** The spool as the file, of which only the blocks behind the table are missing. */
  get #source(): { readonly size: number; read(target: Uint8Array, offset: number): Promise<void> } {
    return {
      size: this.#nextOffset,
      read: (target, offset) => this.#spool.readFully(target, offset),
    }
  }

  async #judgeWhole(): Promise<VhdLayout> {
    const layout = await readVhdLayout(this.#source)
    // A footer at the end of another type has no copy at the start.
    if (layout.kind !== 'dynamic' || layout.sizeBytes !== this.#head.footer.currentSizeBytes) {
      const reason = 'the footer and its copy at the start differ, so readers would see different disks'
      throw new VhdError({ rule: 'footers-differ', reason, offset: this.#nextOffset - footerBytes })
    }
    requireWhole(layout)
    return layout
  }

  /** Blocks that came before the table told whose they are: all of each is in the spool. */
  async #copyEarly(layout: VhdLayout): Promise<void> {
    const disk = createChainDisk([diskOf(this.#source, layout)], this.#options.signal)
    for (const block of this.#blocks.subarray(0, this.#earlyBlocks)) {
      this.#throwIfStopped()
      const offset = block * this.#blockBytes
      await this.#write(await disk.read(offset, this.#blockBytes), offset)
    }
  }

  async #zeroOthers({ sizeBytes }: VhdLayout): Promise<void> {
    const table = this.#table ?? new Uint32Array()
    for (let block = 0; block < table.length;) {
      const first = block
      while (block < table.length && table[block] === unallocated) block += 1
      const start = first * this.#blockBytes
      const end = Math.min(sizeBytes, block * this.#blockBytes)
      this.#throwIfStopped()
      if (end > start) await this.#options.target.zero(start, end - start)
      if (block === first) block += 1
    }
  }

  #throwIfStopped(): void {
    this.#options.signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#failure ??= { error: new Error('The decoding of a stream was given up.') }
    await this.#placed
    await this.#spool[Symbol.asyncDispose]()
  }
}

/** What the head of a VHD tells that comes as a stream. */
export interface VhdHead extends Layout {
  readonly format: 'vhd'
  /** Bytes of the disk; 0 where only the end tells, which is so of a fixed disk. */
  readonly sizeBytes: number
  /** Absent of a fixed disk, which has no mark at its head, and where there is a problem. */
  readonly dynamic: DynamicHead | undefined
}

/** Where a dynamic disk has its table and blocks. */
interface DynamicHead {
  readonly footer: VhdFooter
  readonly header: VhdHeader
  readonly headerOffset: number
  readonly headerBytes: Uint8Array
  readonly blockCount: number
  readonly bitmapBytes: number
}

/**
 * Reads the head of an image that is said to be a VHD. What does not begin with a footer is a fixed disk, or none, which
 * its end tells.
 *
 * @param head the first MiB, or all of a shorter image
 */
export function parseVhdHead(head: Uint8Array): VhdHead {
  const base = { format: 'vhd', sizeBytes: 0, dynamic: undefined } as const
  if (latin1(head, 0, 8) !== 'conectix') return Object.freeze({ ...base, problems: [] })
  const footer = parseVhdFooter(head)
  const problems: Refusal[] = judgeVhdFooter(footer, 0)
  if (footer.type !== 'dynamic') {
    const reason = 'only a dynamic disk that has no parent begins with a footer and can be read alone'
    problems.push({ rule: 'footer-type', reason, offset: 60, found: footer.type ?? `${footer.typeNumber}` })
  }
  const offset = footer.headerOffset ?? Number.MAX_SAFE_INTEGER
  if (offset + headerBytes > head.length) {
    const reason = 'the header of the dynamic disk is not in the first MiB'
    problems.push({ rule: 'header-offset', reason, offset: 16, found: `${offset}` })
    return Object.freeze({ ...base, problems })
  }
  const bytes = head.slice(offset, offset + headerBytes)
  const place = { offset: footer.dataOffset, diskBytes: footer.currentSize }
  const { header, blockCount, bitmapBytes, ...judged } = parseVhdHeader(bytes, place)
  problems.push(...judged.problems)
  if (problems.length > 0 || header === undefined || blockCount === undefined) {
    return Object.freeze({ ...base, problems })
  }
  const dynamic = {
    footer: footer as VhdFooter,
    header,
    headerOffset: offset,
    headerBytes: bytes,
    blockCount,
    bitmapBytes,
  }
  return Object.freeze({ ...base, sizeBytes: footer.currentSizeBytes, dynamic, problems })
}
