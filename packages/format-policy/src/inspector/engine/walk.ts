import type { Fields } from '@disk-image/disk/layouts'
import type { Ahead, Answer, ImageEnd, Range, Request, Steps } from './steps.ts'

/**
 * Runs one examination over bytes that arrive in order.
 *
 * It moves byte-exactly, whatever the chunks are: after each answered request the examination runs on before
 * the next byte is looked at. That is what makes verdicts independent of chunking.
 */
export class Walk {
  readonly #steps: Steps<void> | undefined
  readonly #head: Fields
  /** Up to here everything can be asked for in any order. */
  readonly #reach: number
  /** Offset up to which bytes have been consumed or skipped by answered requests. */
  #cursor: number
  #request: Request | undefined
  /** Where an open read is collected, one after the other. */
  #room: Uint8Array = new Uint8Array(0)
  #filled = 0

  /**
   * @param reach bytes that a stream's head would have. What of them is not in `head` is asked for, which only
   *   a source that can be read anywhere answers
   */
  constructor(steps: Steps<void> | undefined, head: Fields, reach: number) {
    this.#steps = steps
    this.#head = head
    this.#reach = reach
    this.#cursor = reach
    this.#advance(undefined, true)
  }

  /** What is waited for; undefined when the examination is over. */
  get request(): Request | undefined {
    return this.#request
  }

  /** Takes a chunk that starts at `position`, which is never before the end of the head. */
  feed(chunk: Uint8Array, position: number): void {
    while (this.#request?.kind === 'read') {
      const from = this.#request.offset + this.#filled
      if (from >= position + chunk.length) return
      const start = Math.max(0, from - position)
      const { offset, length } = this.#request
      this.#collect(chunk.subarray(start, start + length - this.#filled), length)
      if (this.#filled < length) return
      this.#cursor = Math.max(this.#cursor, offset + length)
      this.#advance(this.#room.subarray(0, length))
    }
  }

  /** No more bytes: open reads get what there is, and the examination runs to its end. */
  end(end: ImageEnd): void {
    while (this.#request !== undefined) {
      if (this.#request.kind === 'end') this.#advance(end)
      else this.answer(new Uint8Array(0))
    }
  }

  /** Answers a read with what is at hand, for a source that can be read anywhere. */
  answer(answer: Answer): void {
    if (this.#request?.kind === 'read' && answer instanceof Uint8Array) {
      const { offset, length } = this.#request
      let bytes = answer
      if (this.#filled > 0 || answer.length > length) {
        this.#collect(answer.subarray(0, length - this.#filled), length)
        bytes = this.#room.subarray(0, this.#filled)
      }
      this.#cursor = Math.max(this.#cursor, offset + bytes.length)
      this.#advance(bytes)
    } else {
      this.#advance(answer)
    }
  }

  /** The part of the open read that is still to come. */
  get missing(): Range | undefined {
    if (this.#request?.kind !== 'read') return undefined
    return {
      offset: this.#request.offset + this.#filled,
      length: this.#request.length - this.#filled,
    }
  }

  /** What is likely to be asked for after the open read. */
  get ahead(): Ahead | undefined {
    return this.#request?.kind === 'read' ? this.#request.ahead : undefined
  }

  /** Adds to an open read of `length` bytes. */
  #collect(piece: Uint8Array, length: number): void {
    if (this.#room.length < length) {
      const larger = new Uint8Array(length)
      larger.set(this.#room.subarray(0, this.#filled))
      this.#room = larger
    }
    this.#room.set(piece, this.#filled)
    this.#filled += piece.length
  }

  /** Whether a range has gone by: only what a stream's head has is there for good. */
  #hasGoneBy(offset: number, length: number): boolean {
    if (offset + length <= this.#reach) return false
    return offset < this.#cursor && !(offset < this.#reach && this.#cursor === this.#reach)
  }

  #advance(answer: Answer, first = false): void {
    const steps = this.#steps
    if (steps === undefined) return
    let next = first ? steps.next() : steps.next(answer)
    while (next.done !== true) {
      const request = next.value
      this.#request = request
      this.#filled = 0
      if (request.kind === 'end') return
      const { offset, length } = request
      const head = this.#head
      if (offset + length <= head.length) {
        next = steps.next(head.bytes.subarray(offset, offset + length))
      } else if (this.#hasGoneBy(offset, length)) {
        next = steps.next(undefined)
      } else {
        if (offset < head.length) this.#collect(head.bytes.subarray(offset), length)
        return
      }
    }
    this.#request = undefined
  }
}
