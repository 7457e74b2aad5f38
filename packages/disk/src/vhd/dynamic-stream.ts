import { InvalidError } from '@disk-image/core'
import { SpooledBytes } from '../stream/spool-file.ts'
import type { StreamDecoder, StreamDecoderOptions, StreamDecoderResult } from '../stream/stream-decoder.ts'
import { type ChainDisk, cutExtents, diskOf } from './chain-disk.ts'
import { type CoveredSectors, writeExtents, writeUncovered } from './covered-sectors.ts'
import { footerBytes, sectorBytes } from './footer.ts'
import type { VhdLayout } from './layout.ts'
import { createChainDisk, requireWhole } from './open-vhd.ts'
import { readVhdLayout } from './read-layout.ts'
import { judgeTable, parseTable, sortedIndexes, unallocated } from './table.ts'
import { VhdError } from '../errors.ts'
import { MetadataRanges } from './metadata-ranges.ts'
import type { DynamicHead } from './vhd-head.ts'

/** What is asked of a disk of a chain, whose disks come leaf first. */
export interface ChainPart {
  /** What its children have written. */
  readonly covered: CoveredSectors
  /** Whether a parent may follow. */
  readonly keeps: boolean
  /** Is shown the disk at its end, of which only the metadata can be read. What it throws ends the decoding. */
  judge(disk: ChainDisk): Promise<void>
}

/**
 * Decodes a dynamic VHD while it comes. Everything up to the end of its block table is spooled, and the metadata behind
 * it; blocks behind the table go straight to their places, without the sectors that their bitmaps say are not there.
 *
 * At the end the spool holds the metadata, and the reader of whole files judges it as it would the file's.
 *
 * @param chain for a disk of a chain: what its children have stays as it is
 */
export async function openDynamicVhdStream(
  head: DynamicHead,
  options: StreamDecoderOptions,
  chain?: ChainPart,
): Promise<StreamDecoder> {
  return new DynamicVhdStream(head, options, new SpooledBytes(options.spool), chain)
}

class DynamicVhdStream implements StreamDecoder {
  readonly #head: DynamicHead
  readonly #options: StreamDecoderOptions
  readonly #spool: SpooledBytes
  readonly #chain: ChainPart | undefined
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
  /** What is read of the file in the end, even where a block lies over it: locators, and a batmap. */
  readonly #metadata: MetadataRanges
  /** The last bytes that came. */
  #tail: Uint8Array = new Uint8Array()
  #nextOffset = 0
  #bytesWritten = 0
  /** Settles when all that came is in its place, or will never be. */
  #placed: Promise<unknown> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #isClosed = false

  constructor(
    head: DynamicHead,
    options: StreamDecoderOptions,
    spool: SpooledBytes,
    chain: ChainPart | undefined,
  ) {
    const { header, blockCount, bitmapBytes } = head
    this.#chain = chain
    this.#head = head
    this.#options = options
    this.#spool = spool
    this.#blockBytes = header.blockSizeBytes
    this.#tableBytes = new Uint8Array(blockCount * 4)
    this.#tableEnd = header.tableOffset + this.#tableBytes.length
    this.#metadata = new MetadataRanges(head, this.#tableEnd, chain === undefined)
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
      for (const [start, end] of this.#metadata.take(chunk, offset)) {
        writes.push(this.#spool.write(chunk.subarray(start - offset, end - offset), start))
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
    if (this.#table === undefined) {
      const part = bytes.subarray(0, Math.max(this.#tableEnd, at + 1) - at)
      writes.push(this.#spool.write(part, at))
      this.#keepTable(part, at)
      return part.length
    }
    const block = this.#blocks[this.#cursor]
    const start = block === undefined ? Infinity : (this.#table[block] as number) * sectorBytes
    // What is no block is metadata, or nothing.
    if (block === undefined || at < start) return Math.min(bytes.length, start - at)
    const dataStart = start + this.#bitmap.length
    const dataEnd = dataStart + this.#blockBytes
    const part = bytes.subarray(0, (at < dataStart ? dataStart : dataEnd) - at)
    if (at < dataStart) {
      this.#bitmap.set(part, at - start)
      if (at + part.length === dataStart) this.#claim(block)
    } else this.#writeData(part, block, at - dataStart, writes)
    if (at + part.length === dataEnd) this.#cursor += 1
    return part.length
  }

  /** Takes those sectors out of the bitmap that a child has. */
  #claim(block: number): void {
    if (this.#chain === undefined) return
    const { covered, keeps } = this.#chain
    const start = block * this.#blockBytes
    const end = Math.min(start + this.#blockBytes, this.#head.footer.currentSizeBytes)
    covered.claim(this.#bitmap, start, end, keeps)
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
    const write = (part: Uint8Array, at: number): Promise<void> => this.#write(part, at)
    const written = extents.reduce((sum, [from, to]) => sum + to - from, 0)
    if (this.#options.writeZeros !== true || written === end - start) {
      writes.push(...writeExtents(bytes, start, extents, this.#chain?.covered, write))
      return
    }
    const copy = new Uint8Array(end - start)
    for (const [from, to] of extents) copy.set(bytes.subarray(from - start, to - start), from - start)
    writes.push(write(copy, start))
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
      await this.#chain?.judge(diskOf(this.#source, layout))
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
    const { type, currentSizeBytes } = this.#head.footer
    if (layout.kind !== type || layout.sizeBytes !== currentSizeBytes) {
      const reason = 'the footer and its copy at the start differ, so readers would see different disks'
      throw new VhdError({ rule: 'footers-differ', reason, offset: this.#nextOffset - footerBytes })
    }
    if (this.#chain === undefined) await requireWhole(layout, this.#source)
    return layout
  }

  /** Blocks that came before the table told whose they are: all of each is in the spool. */
  async #copyEarly(layout: VhdLayout): Promise<void> {
    const early = diskOf(this.#source, layout)
    const disk = createChainDisk([early], this.#options.signal)
    for (const block of this.#blocks.subarray(0, this.#earlyBlocks)) {
      this.#throwIfStopped()
      const offset = block * this.#blockBytes
      if (this.#chain === undefined) await this.#write(await disk.read(offset, this.#blockBytes), offset)
      else {
        const range = [offset, offset + this.#blockBytes] as const
        await writeUncovered(early, range, this.#chain, (bytes, at) => this.#write(bytes, at))
      }
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
