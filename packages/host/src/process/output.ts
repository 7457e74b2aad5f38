import { StringDecoder } from 'node:string_decoder'

/** Keeps at most so many bytes of a stream. */
export class BoundedOutput {
  readonly #limit: number
  readonly #chunks: Buffer[] = []
  #length = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** @returns false where the limit is passed; what lies beyond it is dropped */
  add(chunk: Buffer): boolean {
    const room = this.#limit - this.#length
    const kept = chunk.length <= room ? chunk : chunk.subarray(0, room)
    if (kept.length > 0) this.#chunks.push(kept)
    this.#length += kept.length
    return chunk.length <= room
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }
}

/** Characters of a line that are kept: no line that means something has more. */
const longestLine = 64 * 1024

/** Cuts a stream into lines at `\n`, `\r` and `\r\n`. Empty lines are left out, and so is what a line has too much. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8')
  readonly #onLine: (line: string) => void
  #rest = ''

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  add(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split(/[\r\n]/)
    this.#rest = (lines.pop() ?? '').slice(0, longestLine)
    for (const line of lines) if (line !== '') this.#onLine(line.slice(0, longestLine))
  }

  end(): void {
    const line = this.#rest + this.#decoder.end()
    this.#rest = ''
    if (line !== '') this.#onLine(line)
  }
}
