import { type ByteSink, ImageUnacceptableError } from '@disk-image/core'
import type { DecompressionBounds } from './gunzip-sink.ts'
import { decompressedTooLarge } from './gunzip-sink.ts'
import {
  readPaxKeys,
  readSparseExtents,
  readTarHeader,
  readTarNumber,
  type SparseExtent,
} from './tar-header.ts'

const block = 512
/** Extents of a sparse file, and bytes of a pax header, that are taken. */
const mostExtents = 2 ** 18
const longestPax = 64 * 1024
const zeros = new Uint8Array(256 * 1024)

type Step = 'first' | 'pass' | 'header' | 'more-extents' | 'pax' | 'map' | 'data' | 'skip' | 'over'

/**
 * Passes a disk on, also out of a tar archive that holds this one file, sparse or not: what Google Cloud exports
 * is a `disk.raw` in a `.tar.gz`. Bytes that are no archive go through as they are.
 */
export class TarDiskSink implements ByteSink {
  readonly #target: ByteSink
  readonly #bounds: DecompressionBounds
  #step: Step = 'first'
  #kept: Buffer = Buffer.alloc(0)
  /** Bytes of the archive that were taken, and those of the entry and its padding that are still to come. */
  #position = 0
  #left = 0
  #padding = 0
  #out = 0
  #hasDisk = false
  #pax: ReadonlyMap<string, string> = new Map()
  #sizeBytes = 0
  #extents: SparseExtent[] = []
  #numbers: number[] = []
  #mapRest = ''

  constructor(target: ByteSink, bounds: DecompressionBounds) {
    this.#target = target
    this.#bounds = bounds
  }

  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.length > 0) {
      const taken = await this.#take(rest)
      this.#position += taken
      rest = rest.subarray(taken)
    }
  }

  /** @throws {ImageUnacceptableError} where an archive ends early, or has no file */
  async end(): Promise<void> {
    if (this.#step === 'first') await this.#emit(this.#kept)
    if (['first', 'pass'].includes(this.#step)) return
    if (this.#step === 'header' && this.#kept.length === 0 && this.#hasDisk) return
    if (this.#step !== 'over') throw this.#refuse('it ends within a file')
    if (!this.#hasDisk) throw this.#refuse('it has no file')
  }

  async #take(rest: Uint8Array): Promise<number> {
    if (this.#step === 'pass') {
      await this.#emit(rest)
      return rest.length
    }
    if (this.#step === 'over') return rest.length
    if (this.#step === 'data' || this.#step === 'skip') return this.#takeContent(rest)
    const wanted = this.#step === 'pax' ? this.#left : block
    const part = rest.subarray(0, wanted - this.#kept.length)
    this.#kept = Buffer.concat([this.#kept, part])
    if (this.#kept.length === wanted) {
      const whole = this.#kept
      this.#kept = Buffer.alloc(0)
      await this.#takeBlock(whole)
    }
    return part.length
  }

  async #takeBlock(whole: Buffer): Promise<void> {
    if (this.#step === 'first') {
      if (readTarHeader(whole) === undefined) {
        this.#step = 'pass'
        await this.#emit(whole)
        return
      }
      this.#step = 'header'
    }
    if (this.#step === 'header') this.#takeHeader(whole)
    else if (this.#step === 'more-extents') this.#takeExtents(whole, 0, 21, 504)
    else if (this.#step === 'map') this.#takeMap(whole)
    else if (this.#step === 'pax') {
      this.#pax = readPaxKeys(whole.subarray(0, whole.length))
      this.#step = 'header'
    }
    // A file without data has nothing else to wait for.
    if (this.#step === 'data' && this.#left === 0) await this.#finishFile()
  }

  #takeHeader(whole: Buffer): void {
    if (whole.every((byte) => byte === 0)) {
      this.#step = 'over'
      return
    }
    const header = readTarHeader(whole)
    if (header === undefined) throw this.#refuse('a header of it is damaged')
    const pax = this.#pax
    if (header.kind !== 'pax') this.#pax = new Map()
    const storedBytes = pax.has('size') ? Number(pax.get('size')) : header.storedBytes
    if (!Number.isSafeInteger(storedBytes) || storedBytes < 0)
      throw this.#refuse('a file of it has no possible size')
    this.#left = storedBytes
    this.#padding = (block - (storedBytes % block)) % block
    if (header.kind === 'pax') {
      if (storedBytes > longestPax) throw this.#refuse('a header of it is too long')
      this.#left += this.#padding
      this.#padding = 0
      this.#step = this.#left === 0 ? 'header' : 'pax'
    } else if (header.kind === 'skipped' || (header.kind === 'file' && storedBytes === 0 && pax.size === 0)) {
      this.#beginSkip()
    } else if (header.kind === 'folder') {
      this.#left = 0
      this.#padding = 0
    } else if (header.kind === 'other') {
      throw this.#refuse('it holds something else than files')
    } else {
      this.#beginDisk(whole, header.kind, pax)
    }
  }

  #beginDisk(whole: Buffer, kind: 'file' | 'sparse', pax: ReadonlyMap<string, string>): void {
    if (this.#hasDisk) throw this.#refuse('it holds more than one file, so which is the disk is not said')
    this.#hasDisk = true
    if (kind === 'sparse') {
      this.#sizeBytes = this.#checkSize(readTarNumber(whole, 483))
      this.#takeExtents(whole, 386, 4, 482)
      return
    }
    const sparse = [...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))
    if (!sparse) {
      this.#sizeBytes = this.#checkSize(this.#left)
      this.#extents = [{ offset: 0, length: this.#left }]
      this.#step = 'data'
      return
    }
    if (pax.get('GNU.sparse.major') !== '1') throw this.#refuse('its file is sparse in an outdated way')
    this.#sizeBytes = this.#checkSize(Number(pax.get('GNU.sparse.realsize')))
    this.#step = 'map'
  }

  #checkSize(sizeBytes: number | undefined): number {
    if (sizeBytes === undefined || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
      throw this.#refuse('its file has no possible size')
    }
    if (sizeBytes > this.#bounds.maxBytes) throw decompressedTooLarge(this.#bounds)
    return sizeBytes
  }

  /** Extents of the old sparse format, which has a flag behind them for another block of them. */
  #takeExtents(whole: Buffer, at: number, count: number, flagAt: number): void {
    const extents = readSparseExtents(whole, at, count)
    if (extents === undefined) throw this.#refuse('the map of its sparse file is damaged')
    for (const extent of extents) this.#extents.push(extent)
    if (this.#extents.length > mostExtents) throw this.#refuse('its file has too many holes')
    if (whole[flagAt] === 0) this.#beginExtents()
    else this.#step = 'more-extents'
  }

  /** The map of the newer sparse format: decimal numbers, a line each, in front of the data. */
  #takeMap(whole: Buffer): void {
    this.#left -= block
    if (this.#left < 0) throw this.#refuse('the map of its sparse file is damaged')
    const text = this.#mapRest + whole.toString('latin1')
    const lines = text.split('\n')
    this.#mapRest = lines.pop() ?? ''
    for (const line of lines) {
      if (this.#numbers.length > 0 && this.#numbers.length === 2 * (this.#numbers[0] ?? 0) + 1) break
      if (!/^\d{1,15}$/.test(line)) throw this.#refuse('the map of its sparse file is damaged')
      this.#numbers.push(Number(line))
    }
    const [count] = this.#numbers
    if ((count ?? 0) > mostExtents) throw this.#refuse('its file has too many holes')
    if (count === undefined || this.#numbers.length < 2 * count + 1) return
    for (let index = 1; index <= 2 * count; index += 2) {
      this.#extents.push({ offset: this.#numbers[index] ?? 0, length: this.#numbers[index + 1] ?? 0 })
    }
    this.#numbers = []
    this.#beginExtents()
  }

  #beginExtents(): void {
    let end = 0
    let stored = 0
    for (const { offset, length } of this.#extents) {
      if (offset < end || offset + length > this.#sizeBytes)
        throw this.#refuse('the map of its sparse file is damaged')
      end = offset + length
      stored += length
    }
    if (stored !== this.#left) throw this.#refuse('the map of its sparse file is damaged')
    this.#extents = this.#extents.filter(({ length }) => length > 0)
    this.#step = 'data'
  }

  async #takeContent(rest: Uint8Array): Promise<number> {
    const content = rest.subarray(0, this.#left)
    if (this.#step === 'data' && content.length > 0) {
      const [extent] = this.#extents
      if (extent === undefined) throw this.#refuse('the map of its sparse file is damaged')
      await this.#emitZeros(extent.offset - this.#out)
      const part = content.subarray(0, extent.offset + extent.length - this.#out)
      await this.#emit(part)
      if (this.#out === extent.offset + extent.length) this.#extents.shift()
      this.#left -= part.length
      if (this.#left === 0) await this.#finishFile()
      return part.length
    }
    this.#left -= content.length
    const padding = rest.subarray(content.length, content.length + (this.#left === 0 ? this.#padding : 0))
    this.#padding -= padding.length
    if (this.#left === 0 && this.#padding === 0) this.#step = 'header'
    return content.length + padding.length
  }

  async #finishFile(): Promise<void> {
    await this.#emitZeros(this.#sizeBytes - this.#out)
    this.#beginSkip()
  }

  #beginSkip(): void {
    this.#step = this.#left === 0 && this.#padding === 0 ? 'header' : 'skip'
  }

  async #emitZeros(length: number): Promise<void> {
    for (let left = length; left > 0; left -= zeros.length) {
      await this.#emit(zeros.subarray(0, Math.min(left, zeros.length)))
    }
  }

  async #emit(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return
    this.#out += bytes.length
    if (this.#out > this.#bounds.maxBytes) throw decompressedTooLarge(this.#bounds)
    await this.#target.write(bytes)
  }

  #refuse(reason: string): ImageUnacceptableError {
    return new ImageUnacceptableError({
      imageId: this.#bounds.imageId,
      reason: `The compressed data is a tar archive that can't be taken as a disk: ${reason}`,
      rule: 'compressed-tar',
      offset: this.#position,
      accepted: 'an archive of one file, which is the disk; or that file itself (tar -xzf unpacks it)',
    })
  }
}
