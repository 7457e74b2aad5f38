import type { ByteSink } from '@disk-image/core'
import type { InspectionResult, Inspector } from '@disk-image/format-policy/inspector'
import { createSinkWrites, type SinkWrites } from '@disk-image/io'

/** Most bytes held back while the inspector makes up its mind; it knows well before. */
const headLimit = 4 * 1024 * 1024

/** Writes at once that hide how long each takes to be begun and answered; more of them gain nothing. */
export const sinkConcurrency = 3

/**
 * Inspects a stream and holds it back until its head is known. Then it asks where the bytes shall go, and
 * passes everything on to there. Nothing is written of an image that the head already disqualifies.
 */
export class IntakeSink implements ByteSink {
  readonly #inspector: Inspector
  readonly #choose: (head: InspectionResult) => Promise<ByteSink>
  /** Of the chosen target, once it has what was held back. */
  #writes: SinkWrites | undefined
  #opening: Promise<void> | undefined
  #held: Uint8Array[] = []
  #bytes = 0
  /** As many as targets take at most; where one takes fewer, the others wait here. */
  readonly concurrency: number = sinkConcurrency

  constructor(inspector: Inspector, choose: (head: InspectionResult) => Promise<ByteSink>) {
    this.#inspector = inspector
    this.#choose = choose
  }

  /** Bytes taken so far. */
  get bytes(): number {
    return this.#bytes
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#inspector.write(chunk)
    this.#bytes += chunk.length
    if (this.#opening !== undefined) {
      await (this.#writes?.add(chunk) ?? this.#opening.then(() => this.#writes?.add(chunk)))
      return
    }
    // A copy in any case: `slice` of a Buffer would be a view of what is overwritten next.
    this.#held.push(new Uint8Array(chunk))
    const head = this.#inspector.headVerdict()
    if (head !== undefined) {
      await this.#open(head)
    } else if (this.#bytes > headLimit) {
      throw new RangeError('The inspector has not recognised the head of the image within its bounds')
    }
  }

  /** Ends the inspection. Whether the image may be used is for the caller to judge. */
  async end(): Promise<InspectionResult> {
    const result = this.#inspector.end()
    await (this.#opening ?? this.#open(result))
    return result
  }

  #open(head: InspectionResult): Promise<void> {
    this.#opening = this.#passOn(head)
    return this.#opening
  }

  async #passOn(head: InspectionResult): Promise<void> {
    const target = await this.#choose(head)
    const held = this.#held
    this.#held = []
    for (const chunk of held) await target.write(chunk)
    this.#writes = createSinkWrites(target)
  }
}
