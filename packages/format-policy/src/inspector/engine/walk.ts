import type { Fields } from '../fields.ts'
import type { Answer, ImageEnd, Request, Steps } from './steps.ts'

/**
 * Runs one examination over bytes that arrive in order.
 *
 * It moves byte-exactly, whatever the chunks are: after each answered request the examination runs on before
 * the next byte is looked at. That is what makes verdicts independent of chunking.
 */
export class Walk {
  readonly #steps: Steps<void> | undefined
  readonly #head: Fields
  /** Offset up to which bytes have been consumed or skipped by answered requests. */
  #cursor: number
  #request: Request | undefined
  /** Where an open read is collected. */
  #wanted: Uint8Array | undefined
  #filled = 0

  constructor(steps: Steps<void> | undefined, head: Fields) {
    this.#steps = steps
    this.#head = head
    this.#cursor = head.length
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
      const wanted = this.#wanted ?? new Uint8Array(0)
      const piece = chunk.subarray(start, start + wanted.length - this.#filled)
      wanted.set(piece, this.#filled)
      this.#filled += piece.length
      if (this.#filled < wanted.length) return
      this.#cursor = Math.max(this.#cursor, this.#request.offset + wanted.length)
      this.#advance(wanted)
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
    if (this.#request?.kind === 'read' && answer instanceof Uint8Array && this.#wanted !== undefined) {
      const whole = this.#wanted
      if (this.#filled === 0 && answer.length === whole.length) {
        this.#cursor = Math.max(this.#cursor, this.#request.offset + whole.length)
        this.#advance(answer)
        return
      }
      whole.set(answer.subarray(0, whole.length - this.#filled), this.#filled)
      const length = Math.min(whole.length, this.#filled + answer.length)
      this.#cursor = Math.max(this.#cursor, this.#request.offset + length)
      this.#advance(whole.subarray(0, length))
    } else {
      this.#advance(answer)
    }
  }

  /** The part of the open read that is still to come. */
  get missing(): { readonly offset: number; readonly length: number } | undefined {
    if (this.#request?.kind !== 'read') return undefined
    return {
      offset: this.#request.offset + this.#filled,
      length: (this.#wanted?.length ?? 0) - this.#filled,
    }
  }

  #advance(answer: Answer, first = false): void {
    const steps = this.#steps
    if (steps === undefined) return
    let next = first ? steps.next() : steps.next(answer)
    while (next.done !== true) {
      const request = next.value
      this.#request = request
      this.#filled = 0
      this.#wanted = undefined
      if (request.kind === 'end') return
      const head = this.#head
      const finish = request.offset + request.length
      if (finish <= head.length) {
        next = steps.next(head.bytes.subarray(request.offset, finish))
      } else if (
        request.offset < this.#cursor &&
        !(request.offset < head.length && this.#cursor === head.length)
      ) {
        next = steps.next(undefined)
      } else {
        const wanted = new Uint8Array(request.length)
        if (request.offset < head.length) {
          wanted.set(head.bytes.subarray(request.offset))
          this.#filled = head.length - request.offset
        }
        this.#wanted = wanted
        return
      }
    }
    this.#request = undefined
    this.#wanted = undefined
  }
}
