import { formatBytes, InvalidError, MiB, printable } from '@disk-image/core'
import { type ImageToVolumeOptions, nameOfWord, readWord, type Word } from '@disk-image/image-utils'
import { createDestinationIdentifier } from '@disk-image/image-utils/queue'
import { type NamedImage, readTransfer } from './fetch-request.ts'
import { readInput } from './file-source.ts'
import { type ChecksumLists, lookUpChecksums } from './open-word.ts'
import { type ListDefaults, type ListEntry, parseEntry } from './list-entry.ts'
import type { Session } from '../session.ts'
import { UsageError } from '../usage-error.ts'

/** One image to fetch, and the line that wants it. */
export interface ListedTransfer {
  readonly line: number
  readonly request: NamedImage & ImageToVolumeOptions
}

/** Most images in one list. */
const maximumEntries = 100_000
/** Most lines of a list, those without an image included. */
const maximumLines = 1_000_000
/** Most bytes of a list: several times what so many images take, and read within a second. */
const maximumListBytes = 64 * MiB
/** Wrong lines that are told in full. */
const maximumProblems = 20
/** Destinations that are looked at together. */
const atOnce = 64

/**
 * Reads a list and checks all of it: every line, every option, every destination, and that no two lines write to
 * the same file or device, under whatever names.
 *
 * @throws {UsageError} with the lines that are wrong
 */
export async function readList(
  session: Session,
  defaults: ListDefaults,
  file: string,
): Promise<ListedTransfer[]> {
  const problems = new Problems(file)
  const entries: ListEntry[] = []
  for await (const { number, text, problem } of readLines(bounded(session, file))) {
    session.io.signal.throwIfAborted()
    if (number > maximumLines) {
      throw new UsageError(`${nameOf(file)} has more than ${maximumLines} lines: is it a list?`)
    }
    if (text === undefined) problems.add(number, `${problem}.`)
    else {
      const entry = problems.around(number, () => parseEntry(text, number))
      if (entry !== undefined) entries.push(entry)
    }
    if (entries.length > maximumEntries) {
      throw new UsageError(`${nameOf(file)} has more than ${maximumEntries} images. Split it.`)
    }
  }
  const transfers = await toTransfers(session, defaults, entries, problems)
  await checkDestinations(session, transfers, problems)
  problems.check()
  if (transfers.length === 0) throw new UsageError(`${nameOf(file)} has no image in it.`)
  return transfers
}

/** What is named by mistake, a disk or an endless stream, is not read to its end. */
async function* bounded(session: Session, file: string): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of readInput(session, file)) {
    bytes += chunk.length
    if (bytes > maximumListBytes) {
      throw new UsageError(`${nameOf(file)} has more than ${formatBytes(maximumListBytes)}: is it a list?`)
    }
    yield chunk
  }
}

async function toTransfers(
  session: Session,
  defaults: ListDefaults,
  entries: readonly ListEntry[],
  problems: Problems,
): Promise<ListedTransfer[]> {
  const imageUtils = await session.imageUtils()
  const words = new Map(
    entries.map(({ line, imageId }) => [line, problems.around(line, () => readListed(imageId))]),
  )
  const isInStore = [...words.values()].some((word) => word?.kind === 'image')
  const store = isInStore ? await session.store() : undefined
  const lists: ChecksumLists = new Map()
  const lookUp = async (
    line: number,
    given: ListDefaults,
    word: string,
  ): Promise<ListDefaults | undefined> => {
    session.io.signal.throwIfAborted()
    try {
      return await lookUpChecksums(session, given, word, lists)
    } catch (error) {
      if (!(error instanceof InvalidError)) throw error
      problems.add(line, error.message)
      return undefined
    }
  }
  const transfers: ListedTransfer[] = []
  for (const { line, imageId, volume, flags } of entries) {
    const word = words.get(line)
    if (word === undefined) continue
    const wish = { ...imageOf(session, word, imageId), volume }
    const manner = await lookUp(line, { ...defaults, ...flags }, imageId)
    if (manner === undefined) continue
    const request = problems.around(line, () => readTransfer(session, imageUtils, manner, store, wish))
    if (request !== undefined) transfers.push({ line, request })
  }
  return transfers
}

/** @throws {UsageError} for a word that is no source of a list */
function readListed(text: string): Word {
  try {
    const word = readWord(text)
    if (word.kind !== 'standard-input') return word
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
  throw new UsageError('Standard input is no image of a list.')
}

/** An id is left to the queue, which downloads an image once for all who want it. */
function imageOf(session: Session, word: Word, text: string): NamedImage {
  if (word.kind === 'image' && word.isId) return { imageId: word.name }
  const source = word.kind === 'file' ? session.resolve(word.path) : text
  return { imageId: nameOfWord(word), source }
}

async function checkDestinations(
  session: Session,
  transfers: readonly ListedTransfer[],
  problems: Problems,
): Promise<void> {
  const identify = createDestinationIdentifier()
  const seen = new Map<string, number>()
  for (let start = 0; start < transfers.length; start += atOnce) {
    session.io.signal.throwIfAborted()
    const part = transfers.slice(start, start + atOnce)
    const identities = await Promise.all(part.map(({ request }) => identify(request.volume)))
    for (const [index, { line, request }] of part.entries()) {
      const { keys = [], kind = 'file' } = identities[index] ?? {}
      const reason = reasons[kind]
      if (reason !== undefined) problems.add(line, reason(printable(request.volume)))
      const other = keys.map((key) => seen.get(key)).find((number) => number !== undefined)
      if (other === undefined) for (const key of keys) seen.set(key, line)
      else problems.add(line, `${printable(request.volume)} is the destination of line ${other}, too.`)
    }
  }
}

const reasons: Readonly<Record<string, (volume: string) => string>> = {
  homeless: (volume) => `There is no folder to make ${volume} in.`,
  other: (volume) => `${volume} is neither a file nor a block device.`,
  nodeless: (volume) => `There is no device ${volume}. Writing there would create a regular file in RAM.`,
}

function nameOf(file: string): string {
  return file === '-' ? 'The list on standard input' : `The list ${printable(file)}`
}

/** What is wrong with a list, line by line. */
class Problems {
  readonly #file: string
  readonly #told: { readonly line: number; readonly text: string }[] = []
  #count = 0

  constructor(file: string) {
    this.#file = file
  }

  add(line: number, message: string): void {
    this.#count += 1
    // A line may hold anything: neither its length nor its characters may get in the way of reading this.
    const text = printable(message)
    const short = text.length > 300 ? `${text.slice(0, 300)}…` : text
    if (this.#told.length < maximumProblems) this.#told.push({ line, text: short })
  }

  /** Keeps what is wrong, and goes on. */
  around<Result>(line: number, act: () => Result): Result | undefined {
    try {
      return act()
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      this.add(line, error.message)
      return undefined
    }
  }

  check(): void {
    if (this.#count === 0) return
    const more = this.#count - this.#told.length
    throw new UsageError(
      [
        `${nameOf(this.#file)} is wrong; nothing was fetched.`,
        ...this.#told.toSorted((a, b) => a.line - b.line).map(({ line, text }) => `line ${line}: ${text}`),
        ...(more > 0 ? [`and ${more} more`] : []),
      ].join('\n'),
    )
  }
}

/** Most bytes that one line may have. */
export const maximumLineBytes: number = 64 * 1024

/** One line of a list. */
export interface ListLine {
  /** From 1. */
  readonly number: number
  /** Without its end; undefined where it can't be read as text, with the reason. */
  readonly text: string | undefined
  readonly problem: string | undefined
}

const [lineFeed, carriageReturn] = [0x0a, 0x0d]
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Cuts bytes into lines, whatever the bytes are: lines end with LF or CR LF, a byte order mark at the start is
 * skipped, and never more than one line is kept.
 */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<ListLine> {
  let number = 0
  let parts: Uint8Array[] = []
  let length = 0
  const finish = (): ListLine => {
    number += 1
    const line = toLine(length, parts, number)
    parts = []
    length = 0
    return line
  }
  for await (const chunk of source) {
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, start)) {
      length += end - start
      if (length <= maximumLineBytes) parts.push(chunk.subarray(start, end))
      start = end + 1
      yield finish()
    }
    length += chunk.length - start
    if (length > maximumLineBytes) parts = []
    // Copied: the source may use its buffer again.
    else if (start < chunk.length) parts.push(chunk.slice(start))
  }
  if (length > 0) yield finish()
}

function toLine(length: number, parts: readonly Uint8Array[], number: number): ListLine {
  if (length > maximumLineBytes) {
    return { number, text: undefined, problem: `it has ${length} bytes; ${maximumLineBytes} are the most` }
  }
  const bytes = Buffer.concat(parts)
  const end = bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length
  const hasMark = number === 1 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  const content = bytes.subarray(hasMark ? 3 : 0, end)
  if (content.includes(0)) return { number, text: undefined, problem: 'it has a NUL byte: this is no text' }
  try {
    const text = utf8.decode(content)
    return { number, text, problem: undefined }
  } catch {
    return { number, text: undefined, problem: 'it is not UTF-8' }
  }
}
