import { Parser, type ReadEntry } from 'tar'
import { XenserverArchiveError } from '../errors.ts'
import { quoted } from './member-name.ts'

const blockBytes = 512
/** The most bytes that a long name or an extended header may have. */
const maximumMetaBytes = 65_536
/** Magic numbers of compressions that the parser would undo by itself, unbounded. */
const compressed: readonly (readonly number[])[] = [
  [0x1f, 0x8b],
  [0x28, 0xb5, 0x2f, 0xfd],
]

/** What is told of an archive while it is read. */
export interface TarListener {
  /** A member begins. What it throws ends the reading. */
  begin(entry: ReadEntry, offset: number): Promise<void>
  /** Bytes of the member that began last, in order. */
  data(bytes: Uint8Array): Promise<void>
  /** That member is complete. */
  end(): Promise<void>
}

/**
 * Reads a tar archive, strictly: a damaged header, an archive that stops without its end mark and bytes behind
 * the end are refused.
 *
 * The parser gets one header at a time, so that every offset is known and nothing piles up in it.
 */
export class TarReader {
  #offset = 0
  #partial: Uint8Array = new Uint8Array()
  #entry: ReadEntry | undefined
  #ended = false
  #events: (() => Promise<void>)[] = []
  readonly #parser: Parser
  readonly #listener: TarListener

  constructor(listener: TarListener) {
    this.#listener = listener
    this.#parser = new Parser({ maxMetaEntrySize: maximumMetaBytes })
    this.#parser.on('entry', (entry: ReadEntry) => this.#begin(entry))
    this.#parser.on('eof', () => (this.#ended = true))
    this.#parser.on('warn', (_code: string, message: string) => this.#refuse('tar-damaged', message))
    this.#parser.on('error', (error: Error) => this.#refuse('tar-damaged', error.message))
    this.#parser.on('ignoredEntry', ({ type, path }: ReadEntry) => {
      const rule = type === 'SparseFile' ? 'member-sparse' : 'member-type'
      this.#refuse(rule, `it has an entry of the kind ${type}`, path)
    })
    this.#parser.on('meta', (text: string) => {
      if (/\d GNU\.sparse\./.test(text)) {
        this.#refuse('member-sparse', 'it has a sparse file, which can be any size')
      } else if (/\d size=(?!\d+\n)/.test(text)) this.#refuse('member-size', 'a size is no number of bytes')
    })
  }

  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.length > 0) {
      if (this.#ended) {
        if (rest.some((byte) => byte !== 0))
          throw this.#error('trailing-data', 'there are bytes behind its end')
        return
      }
      rest = await this.#step(rest)
    }
  }

  /** Judges that the archive is complete. */
  end(): void {
    if (!this.#ended) throw this.#error('archive-truncated', 'it stops before its end')
  }

  async #step(chunk: Uint8Array): Promise<Uint8Array> {
    const remain = this.#entry?.blockRemain ?? 0
    if (remain > 0) {
      const part = chunk.subarray(0, remain)
      await this.#feed(part)
      return chunk.subarray(part.length)
    }
    const missing = blockBytes - this.#partial.length
    const block = Buffer.concat([this.#partial, chunk.subarray(0, missing)])
    if (block.length < blockBytes) this.#partial = block
    else {
      this.#partial = new Uint8Array()
      if (
        this.#offset === 0 &&
        compressed.some((magic) => magic.every((byte, index) => block[index] === byte))
      ) {
        throw this.#error('tar-damaged', 'it is compressed twice')
      }
      await this.#feed(block)
    }
    return chunk.subarray(missing)
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    this.#parser.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    // The parser works synchronously: all that the bytes have brought about is listed now.
    const events = this.#events
    this.#events = []
    for (const event of events) await event()
    this.#offset += bytes.length
  }

  #begin(entry: ReadEntry): void {
    this.#entry = entry
    this.#events.push(() => this.#listener.begin(entry, this.#offset))
    entry.on('data', (bytes: Uint8Array) => this.#events.push(() => this.#listener.data(bytes)))
    entry.on('end', () => this.#events.push(() => this.#listener.end()))
  }

  #refuse(rule: string, reason: string, member?: string): void {
    this.#events.push(() => Promise.reject(this.#error(rule, reason, member)))
  }

  #error(rule: string, reason: string, member?: string): XenserverArchiveError {
    const name = member === undefined ? undefined : quoted(member)
    return new XenserverArchiveError({ rule, reason, offset: this.#offset, member: name })
  }
}
