import type { OverlappedSink } from '@disk-image/core'
import type { InspectionResult, Inspector } from '@disk-image/format-policy/inspector'

/** Most bytes held back while the inspector makes up its mind; it knows well before. */
const headLimit = 4 * 1024 * 1024

/** Decides where the bytes go, by what the inspector and the first of them tell. */
export type ChooseSink = (head: InspectionResult, bytes: Uint8Array) => Promise<OverlappedSink>

/**
 * Inspects a stream and holds it back until its head is known. Then it asks where the bytes shall go, and
 * passes everything on to there. Nothing is written of an image that the head already disqualifies.
 */
export class InspectingSink implements OverlappedSink {
  readonly #inspector: Inspector
  readonly #headBytes: number
  readonly #choose: ChooseSink
  /** Resolves when what was held back has been begun. */
  #opening: Promise<OverlappedSink> | undefined
  #target: OverlappedSink | undefined
  #held: Uint8Array[] = []
  #bytes = 0

  /** @param headBytes so many bytes are seen before it is chosen, unless there are fewer */
  constructor(inspector: Inspector, headBytes: number, choose: ChooseSink) {
    this.#inspector = inspector
    this.#headBytes = headBytes
    this.#choose = choose
  }

  /** Bytes taken so far. */
  get bytes(): number {
    return this.#bytes
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.writeAt(chunk, this.#bytes)
  }

  async writeAt(chunk: Uint8Array, offset: number): Promise<void> {
    this.#inspector.write(chunk)
    this.#bytes = offset + chunk.length
    if (this.#opening !== undefined) {
      // Set only here: who came before and still waits for it must begin first.
      this.#target ??= await this.#opening
      await this.#target.writeAt(chunk, offset)
      return
    }
    // A copy in any case: `slice` of a Buffer would be a view of what is overwritten next.
    this.#held.push(new Uint8Array(chunk))
    const head = this.#inspector.headVerdict()
    if (head !== undefined && this.#bytes >= this.#headBytes) {
      await this.#open(head)
    } else if (head === undefined && this.#bytes > headLimit) {
      throw new RangeError('The inspector has not recognised the head of the image within its bounds')
    }
  }

  /** Ends the inspection. Whether the image may be used is for the caller to judge. */
  async end(): Promise<InspectionResult> {
    const result = this.#inspector.end()
    await (this.#opening ?? this.#open(result))
    return result
  }

  #open(head: InspectionResult): Promise<OverlappedSink> {
    this.#opening = this.#passOn(head)
    return this.#opening
  }

  async #passOn(head: InspectionResult): Promise<OverlappedSink> {
    const target = await this.#choose(head, Buffer.concat(this.#held).subarray(0, this.#headBytes))
    let offset = 0
    for (const chunk of this.#held) {
      await target.writeAt(chunk, offset)
      offset += chunk.length
    }
    this.#held = []
    return target
  }
}
