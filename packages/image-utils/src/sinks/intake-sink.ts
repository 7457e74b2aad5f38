import type { ByteSink } from '@disk-image/core'
import type { InspectionResult, Inspector } from '@disk-image/format-policy/inspector'

/** Most bytes held back while the inspector makes up its mind; it knows well before. */
const headLimit = 4 * 1024 * 1024

/**
 * Inspects a stream and holds it back until its head is known. Then it asks where the bytes shall go, and
 * passes everything on to there. Nothing is written of an image that the head already disqualifies.
 */
export class IntakeSink implements ByteSink {
  readonly #inspector: Inspector
  readonly #choose: (head: InspectionResult) => Promise<ByteSink>
  #target: ByteSink | undefined
  #held: Uint8Array[] = []
  #bytes = 0

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
    if (this.#target !== undefined) {
      await this.#target.write(chunk)
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
    if (this.#target === undefined) await this.#open(result)
    return result
  }

  async #open(head: InspectionResult): Promise<void> {
    const target = await this.#choose(head)
    const held = this.#held
    this.#held = []
    for (const chunk of held) await target.write(chunk)
    this.#target = target
  }
}
