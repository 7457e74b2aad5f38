import type { ByteSink, Envelope } from '@disk-image/core'
import { isZero } from '@disk-image/io'
import {
  readPaxKeys,
  readSparseExtents,
  readTarHeader,
  readTarNumber,
  type SparseExtent,
  type TarHeader,
} from './tar-header.ts'

const block = 512
/** Extents of a sparse file, and bytes of a header of names or attributes, that are taken. */
const mostExtents = 2 ** 18
const longestAttributes = 64 * 1024
const zeros = new Uint8Array(256 * 1024)

/** A file in the archive. */
export interface TarMember {
  /** As it is written there: hostile, and no path to open. */
  readonly name: string
  /** Bytes of the file, holes included. */
  readonly sizeBytes: number
  /** Of them, those that the archive does not have. */
  readonly holeBytes: number
}

/** Takes a member's bytes; `end` follows the last of them. */
export interface MemberSink extends ByteSink {
  end?(): Promise<void> | void
}

/** Anything in an archive that has a name: a file, a folder, a link, a device … */
export interface TarEntry {
  /** As it is written there: hostile, and no path to open. */
  readonly name: string
  /** The letter that tells what it is: `0` or NUL a file, `5` a folder, `1` and `2` links … */
  readonly type: string
  /** Bytes behind its header. */
  readonly storedBytes: number
  /** What a link leads to; empty of a file. */
  readonly linkName: string
  readonly isSparse: boolean
}

/** Why an archive can't be taken: `cut` where it stops before its end, `trailing` where something follows it. */
export type TarProblem = 'damaged' | 'attributes' | 'size' | 'sparse' | 'kind' | 'empty' | 'cut' | 'trailing'

/** What to do with the members of an archive. */
export interface TarHandler {
  /** Called for each file before its bytes. Without a sink it is passed over. */
  open(member: TarMember): Promise<MemberSink | undefined> | MemberSink | undefined
  /** The error for an archive that can't be taken. */
  refuse(reason: string, offset: number, problem: TarProblem): Error
  /**
   * Is shown every entry, before this reader has its say; what it throws ends the reading. With it the archive must be
   * marked as ended, and only zeros may follow.
   */
  judge?(entry: TarEntry, offset: number): void
}

type Attributes = 'pax' | 'global' | 'name' | 'skipped'
type Step = 'header' | 'attributes' | 'more-extents' | 'map' | 'content' | 'over'

/**
 * Reads a tar archive in order: files, sparse ones by the old and the newest of GNU's ways, long names. Folders are
 * passed over; links, devices and everything else is refused.
 */
export class TarReader implements Envelope {
  readonly #handler: TarHandler
  #step: Step = 'header'
  #kept: Uint8Array = new Uint8Array(0)
  /** Bytes of the archive that were taken, and those of the member and its padding that are still to come. */
  #position = 0
  #left = 0
  #padding = 0
  #pax: ReadonlyMap<string, string> = new Map()
  #longName: string | undefined
  #attributes: Attributes | 'none' = 'none'
  /** Of all headers of names and attributes since the last file. */
  #attributeBytes = 0
  #name = ''
  #sizeBytes = 0
  #extents: SparseExtent[] = []
  /** Of them, the one whose bytes come. */
  #extent = 0
  /** The numbers of a map, and the start of the next one. */
  #numbers: number[] = []
  #mapRest = ''
  #sink: MemberSink | undefined
  /** Bytes of the member that its sink has, and whether one has been begun at all. */
  #out = 0
  #members = 0

  constructor(handler: TarHandler) {
    this.#handler = handler
  }

  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.length > 0) {
      const taken = await this.#take(rest)
      this.#position += taken
      rest = rest.subarray(taken)
    }
  }

  async end(): Promise<void> {
    // An archive may end without its two empty blocks; tar itself only warns of that.
    const isBetween = this.#step === 'header' && this.#kept.length === 0 && this.#attributes === 'none'
    const isCut = this.#handler.judge === undefined ? !isBetween : true
    if (this.#step !== 'over' && isCut) throw this.#refuse('it ends within a file', 'cut')
    if (this.#members === 0) throw this.#refuse('it has no file', 'empty')
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /**
   * Gives up the file whose bytes come, without its `end`.
   *
   * @returns how many bytes of the archive the caller leaves out before the next `write`
   */
  passOver(): number {
    if (this.#step !== 'content' || this.#sink === undefined) return 0
    const skipped = this.#left
    this.#sink = undefined
    this.#left = 0
    this.#position += skipped
    if (this.#padding === 0) this.#step = 'header'
    return skipped
  }

  async #take(rest: Uint8Array): Promise<number> {
    if (this.#step === 'over') return this.#passEnd(rest)
    if (this.#step === 'content') return this.#takeContent(rest)
    const wanted = this.#step === 'attributes' ? this.#left : block
    const part = rest.subarray(0, wanted - this.#kept.length)
    const all = new Uint8Array(this.#kept.length + part.length)
    all.set(this.#kept)
    all.set(part, this.#kept.length)
    this.#kept = all
    if (all.length === wanted) {
      this.#kept = new Uint8Array(0)
      await this.#takeWhole(all, this.#position + part.length - wanted)
    }
    return part.length
  }

  #passEnd(rest: Uint8Array): number {
    if (this.#handler.judge !== undefined && !isZero(rest)) {
      throw this.#refuse('there are bytes behind its end', 'trailing')
    }
    return rest.length
  }

  /** @param offset of these bytes in the archive */
  async #takeWhole(whole: Uint8Array, offset: number): Promise<void> {
    if (this.#step === 'header') this.#takeHeader(whole, offset)
    else if (this.#step === 'attributes') this.#takeAttributes(whole)
    else if (this.#step === 'more-extents') this.#takeExtents(whole, 0, 21, 504)
    else this.#takeMap(whole)
    if (this.#step === 'content' && this.#sink === undefined && this.#name !== '') await this.#begin()
  }

  #takeHeader(whole: Uint8Array, offset: number): void {
    if (isZero(whole)) {
      this.#step = 'over'
      return
    }
    const header = readTarHeader(whole)
    if (header === undefined) throw this.#refuse('a header of it is damaged')
    if (
      header.kind === 'pax' ||
      header.kind === 'global' ||
      header.kind === 'name' ||
      header.kind === 'skipped'
    ) {
      this.#beginAttributes(header, header.kind)
      return
    }
    const pax = this.#pax
    const name = pax.get('GNU.sparse.name') ?? pax.get('path') ?? this.#longName ?? header.name
    this.#pax = new Map()
    this.#longName = undefined
    this.#attributes = 'none'
    this.#attributeBytes = 0
    const storedBytes = pax.has('size') ? numberOf(pax.get('size')) : header.storedBytes
    const isSparse = header.type === 'S' || [...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))
    const linkName = pax.get('linkpath') ?? header.linkName
    this.#setContent(storedBytes)
    this.#handler.judge?.({ name, type: header.type, storedBytes, linkName, isSparse }, offset)
    if (header.kind === 'folder') return
    if (header.kind === 'other') throw this.#refuse('it holds something else than files', 'kind')
    this.#name = name === '' ? '?' : name
    if (header.kind === 'sparse') {
      this.#sizeBytes = this.#checkSize(readTarNumber(whole, 483))
      this.#takeExtents(whole, 386, 4, 482)
    } else if (isSparse) {
      if (!header.isPosix) throw this.#refuse('attributes come before a header of another format')
      if (pax.get('GNU.sparse.major') !== '1') {
        throw this.#refuse('its file is sparse in an outdated way', 'sparse')
      }
      this.#sizeBytes = this.#checkSize(numberOf(pax.get('GNU.sparse.realsize')))
      this.#step = 'map'
    } else {
      this.#sizeBytes = this.#left
      this.#extents = [{ offset: 0, length: this.#left }]
      this.#step = 'content'
    }
  }

  #beginAttributes({ storedBytes }: TarHeader, kind: Attributes): void {
    this.#setContent(storedBytes)
    this.#left += this.#padding
    this.#attributeBytes += this.#left
    if (this.#attributeBytes > longestAttributes) {
      throw this.#refuse('a header of it is too long', 'attributes')
    }
    if (kind === 'name' && storedBytes === 0) throw this.#refuse('a name in it is empty')
    this.#attributes = kind
    this.#step = this.#left === 0 ? 'header' : 'attributes'
  }

  #takeAttributes(whole: Uint8Array): void {
    this.#step = 'header'
    if (this.#attributes === 'name') this.#longName = textOf(whole)
    if (this.#attributes !== 'pax' && this.#attributes !== 'global') return
    const keys = readPaxKeys(whole.subarray(0, whole.length - this.#padding))
    if (keys === undefined) throw this.#refuse('its attributes are damaged', 'attributes')
    // Of one file they can't hold for all, and readers disagree about what they do.
    const isOfOne = [...keys.keys()].some((key) => /^(size|path|GNU\.sparse\..*)$/.test(key))
    if (this.#attributes === 'pax') this.#pax = new Map([...this.#pax, ...keys])
    else if (isOfOne) throw this.#refuse('it has the attributes of one file for all of them')
  }

  #setContent(storedBytes: number): void {
    if (!Number.isSafeInteger(storedBytes) || storedBytes < 0)
      throw this.#refuse('a file of it has no possible size', 'size')
    this.#left = storedBytes
    this.#padding = (block - (storedBytes % block)) % block
    this.#extents = []
    this.#extent = 0
  }

  #checkSize(sizeBytes: number | undefined): number {
    if (sizeBytes !== undefined && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0) return sizeBytes
    throw this.#refuse('its file has no possible size', 'size')
  }

  /** Extents of the old sparse format, which has a flag after them for another block of them. */
  #takeExtents(whole: Uint8Array, at: number, count: number, flagAt: number): void {
    const extents = readSparseExtents(whole, at, count)
    if (extents === undefined) throw this.#badMap()
    this.#extents.push(...extents)
    if (this.#extents.length > mostExtents) throw this.#refuse('its file has too many holes', 'sparse')
    const flag = whole[flagAt] ?? 0
    if (flag > 1) throw this.#badMap()
    if (flag === 0) this.#checkExtents()
    else this.#step = 'more-extents'
  }

  /** The map of the newer sparse format: decimal numbers, a line each, before the data. */
  #takeMap(whole: Uint8Array): void {
    this.#left -= block
    if (this.#left < 0) throw this.#badMap()
    const lines = (this.#mapRest + String.fromCharCode(...whole)).split('\n')
    this.#mapRest = lines.pop() ?? ''
    // A number has fifteen digits at most; without this a line would take as much memory as the archive has.
    if (this.#mapRest.length > block) throw this.#badMap()
    for (const line of lines) {
      if (this.#numbers.length > 0 && this.#numbers.length === 2 * (this.#numbers[0] ?? 0) + 1) break
      if (!/^\d{1,15}$/.test(line)) throw this.#badMap()
      this.#numbers.push(Number(line))
    }
    const count = this.#numbers[0] ?? 0
    if (count > mostExtents) throw this.#refuse('its file has too many holes', 'sparse')
    if (this.#numbers.length < 2 * count + 1) return
    for (let index = 1; index <= 2 * count; index += 2) {
      this.#extents.push({ offset: this.#numbers[index] ?? 0, length: this.#numbers[index + 1] ?? 0 })
    }
    this.#numbers = []
    this.#mapRest = ''
    this.#checkExtents()
  }

  #checkExtents(): void {
    let end = 0
    let stored = 0
    for (const { offset, length } of this.#extents) {
      if (offset < end || offset + length > this.#sizeBytes) throw this.#badMap()
      end = offset + length
      stored += length
    }
    if (stored !== this.#left) throw this.#badMap()
    // The map ends with an extent of no bytes where the file ends with a hole: GNU's tar takes its size from there.
    if (end !== this.#sizeBytes) throw this.#badMap()
    this.#extents = this.#extents.filter(({ length }) => length > 0)
    this.#step = 'content'
  }

  async #begin(): Promise<void> {
    this.#members += 1
    this.#out = 0
    const [name, sizeBytes, holeBytes] = [this.#name, this.#sizeBytes, this.#sizeBytes - this.#left]
    this.#sink = (await this.#handler.open({ name, sizeBytes, holeBytes })) ?? passOver
    this.#name = ''
    // A file without data has nothing else to wait for.
    if (this.#left === 0) await this.#finish()
  }

  async #takeContent(rest: Uint8Array): Promise<number> {
    const content = rest.subarray(0, this.#left)
    if (content.length > 0) {
      const extent = this.#extents[this.#extent]
      if (extent === undefined) throw this.#badMap()
      await this.#emitZeros(extent.offset - this.#out)
      const part = content.subarray(0, extent.offset + extent.length - this.#out)
      await this.#emit(part)
      if (this.#out === extent.offset + extent.length) this.#extent += 1
      this.#left -= part.length
      if (this.#left === 0) await this.#finish()
      return part.length
    }
    const padding = rest.subarray(0, this.#padding)
    this.#padding -= padding.length
    if (this.#padding === 0) this.#step = 'header'
    return padding.length
  }

  async #finish(): Promise<void> {
    await this.#emitZeros(this.#sizeBytes - this.#out)
    const sink = this.#sink
    this.#sink = undefined
    this.#step = this.#padding === 0 ? 'header' : 'content'
    await sink?.end?.()
  }

  async #emitZeros(length: number): Promise<void> {
    if (this.#sink === passOver) {
      this.#out += length
      return
    }
    for (let left = length; left > 0; left -= zeros.length) {
      await this.#emit(zeros.subarray(0, Math.min(left, zeros.length)))
    }
  }

  async #emit(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return
    this.#out += bytes.length
    await this.#sink?.write(bytes)
  }

  #badMap(): Error {
    return this.#refuse('the map of its sparse file is damaged', 'sparse')
  }

  #refuse(reason: string, problem: TarProblem = 'damaged'): Error {
    return this.#handler.refuse(reason, this.#position, problem)
  }
}

/** Decimal digits; everything else is no number to other readers. */
function numberOf(text = ''): number {
  return /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
}

const passOver: MemberSink = { write: () => undefined }

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
}
