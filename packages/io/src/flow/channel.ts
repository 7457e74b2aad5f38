import type { ByteSink } from '@disk-image/core'

/**
 * Turns pushed chunks into pulled ones without keeping any: a write lasts until the reader has come back for
 * the next chunk.
 */
export class Channel implements ByteSink, AsyncIterable<Uint8Array> {
  #offer:
    | { readonly chunk: Uint8Array; readonly taken: () => void; readonly refused: (error: unknown) => void }
    | undefined
  #wakeReader: (() => void) | undefined
  #end: { readonly error?: unknown } | undefined
  #readerGone: { readonly error: unknown } | undefined

  /** Whether nobody reads any more. */
  get abandoned(): boolean {
    return this.#readerGone !== undefined
  }

  write(chunk: Uint8Array): Promise<void> {
    if (this.#readerGone !== undefined) return Promise.reject(this.#readerGone.error)
    if (chunk.length === 0) return Promise.resolve()
    return new Promise((taken, refused) => {
      this.#offer = { chunk, taken, refused }
      this.#wakeReader?.()
    })
  }

  /** Nothing more comes; with an error, the reader gets it. */
  end(error?: unknown): void {
    this.#end ??= error === undefined ? {} : { error }
    this.#wakeReader?.()
  }

  /** Nobody reads any more: the writer gets the error. */
  leave(error: unknown): void {
    this.#readerGone ??= { error }
    this.#offer?.refused(error)
    this.#offer = undefined
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const offer = this.#offer
        if (offer !== undefined) {
          yield offer.chunk
          this.#offer = undefined
          offer.taken()
        } else if (this.#end !== undefined) {
          if ('error' in this.#end) throw this.#end.error
          return
        } else {
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve
          })
        }
      }
    } finally {
      this.leave(new Error('The reader of the image has stopped'))
    }
  }
}
