// oxlint-disable-next-line no-control-regex -- what steers a terminal begins with one
const pieces = /\u001b\[\d*[A-Z]|[\s\S]/gu

/**
 * What a terminal shows of what is written to it: enough of one for the progress of many. Like today's
 * terminals it wraps what is too long, and wraps it anew when its window changes.
 */
export class Screen {
  columns: number
  readonly #lines: string[] = ['']
  /** The line, as it was written, and the place in it. */
  #line = 0
  #at = 0

  constructor(columns: number) {
    this.columns = columns
  }

  /** Lines as they were written, what has scrolled out of sight too. */
  get lines(): string[] {
    return this.#lines.map((line) => line.trimEnd())
  }

  write(text: string): void {
    for (const [piece] of text.matchAll(pieces)) this.#take(piece)
  }

  #take(piece: string): void {
    if (piece === '\r') this.#at -= this.#at % this.columns
    else if (piece === '\n') {
      this.#line += 1
      this.#at = 0
      if (this.#line === this.#lines.length) this.#lines.push('')
    } else if (piece.startsWith('\u001b')) this.#control(Number(piece.slice(2, -1) || 1), piece.at(-1))
    else {
      const line = (this.#lines[this.#line] ?? '').padEnd(this.#at)
      this.#lines[this.#line] = line.slice(0, this.#at) + piece + line.slice(this.#at + 1)
      this.#at += 1
    }
  }

  #control(count: number, name: string | undefined): void {
    if (name === 'A') for (let rows = 0; rows < count; rows += 1) this.#up()
    else if (name === 'K' || name === 'J') {
      this.#lines[this.#line] = (this.#lines[this.#line] ?? '').slice(0, this.#at)
      if (name === 'J') this.#lines.splice(this.#line + 1)
    } else throw new Error(`The test's terminal does not know ${JSON.stringify(name)}.`)
  }

  #up(): void {
    if (this.#at >= this.columns) this.#at -= this.columns
    else if (this.#line > 0) {
      this.#line -= 1
      const rows = Math.max(1, Math.ceil((this.#lines[this.#line] ?? '').length / this.columns))
      this.#at = (rows - 1) * this.columns
    }
  }
}
