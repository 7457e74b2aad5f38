import { Examination } from './examination.ts'
import { headBytes, tailBytes } from './engine/steps.ts'
import type { InspectionResult } from './result.ts'

/** Judges an image while its bytes go by. */
export interface Inspector {
  /**
   * Takes the next bytes. They are not kept: the caller may use the buffer again.
   *
   * @throws {TypeError} after {@link Inspector.end}
   */
  write(chunk: Uint8Array): void
  /** Says that there are no more bytes. May be called again, with the same answer. */
  end(): InspectionResult
  /** Whether {@link Inspector.headVerdict} has an answer. */
  readonly headKnown: boolean
  /**
   * The verdict on the first MiB, as soon as it was seen: what the image is unless a footer says otherwise.
   * An unsafe head verdict is final, a safe one holds until {@link Inspector.end}.
   */
  headVerdict(): InspectionResult | undefined
  /** Bytes written so far. */
  readonly bytesSeen: number
}

/**
 * Makes an inspector for one image. It keeps less than 2 MiB, takes time in proportion to the bytes, and
 * says the same however the bytes are cut into chunks.
 *
 * @example
 * const inspector = createInspector()
 * for await (const chunk of source) inspector.write(chunk)
 * const { format, safe } = inspector.end()
 */
export function createInspector(): Inspector {
  return new StreamInspector()
}

const firstBuffer = 65536

class StreamInspector implements Inspector {
  #head: Uint8Array | undefined = new Uint8Array(firstBuffer)
  #filled = 0
  #position = 0
  readonly #tail = new Uint8Array(tailBytes)
  #examination: Examination | undefined
  #headVerdict: InspectionResult | undefined
  #result: InspectionResult | undefined

  write(chunk: Uint8Array): void {
    if (this.#result !== undefined) throw new TypeError('the inspector has ended: make one for each image')
    let rest = chunk
    if (this.#head !== undefined) {
      const taken = Math.min(chunk.length, headBytes - this.#filled)
      this.#keepHead(chunk.subarray(0, taken))
      this.#keepTail(chunk.subarray(0, taken))
      this.#position += taken
      rest = chunk.subarray(taken)
      if (this.#filled === headBytes) this.#judgeHead()
    }
    if (rest.length === 0) return
    this.#examination?.walk.feed(rest, this.#position)
    this.#keepTail(rest)
    this.#position += rest.length
  }

  end(): InspectionResult {
    if (this.#result !== undefined) return this.#result
    const examination = this.#judgeHead()
    this.#result = examination.finish({ sizeBytes: this.#position, tail: this.#orderedTail() })
    this.#examination = undefined
    return this.#result
  }

  get headKnown(): boolean {
    return this.#headVerdict !== undefined
  }

  headVerdict(): InspectionResult | undefined {
    return this.#headVerdict
  }

  get bytesSeen(): number {
    return this.#position
  }

  #judgeHead(): Examination {
    if (this.#examination === undefined) {
      this.#examination = new Examination((this.#head ?? new Uint8Array(0)).subarray(0, this.#filled))
      this.#headVerdict = this.#examination.preliminary()
      this.#head = undefined
    }
    return this.#examination
  }

  #keepHead(bytes: Uint8Array): void {
    if (this.#head === undefined) return
    if (this.#filled + bytes.length > this.#head.length) {
      const larger = new Uint8Array(headBytes)
      larger.set(this.#head.subarray(0, this.#filled))
      this.#head = larger
    }
    this.#head.set(bytes, this.#filled)
    this.#filled += bytes.length
  }

  /** The tail is a ring: the byte at position p is kept at p modulo its length. */
  #keepTail(bytes: Uint8Array): void {
    const kept = bytes.subarray(Math.max(0, bytes.length - tailBytes))
    const start = (this.#position + bytes.length - kept.length) % tailBytes
    const first = kept.subarray(0, tailBytes - start)
    this.#tail.set(first, start)
    this.#tail.set(kept.subarray(first.length), 0)
  }

  #orderedTail(): Uint8Array {
    if (this.#position <= tailBytes) return this.#tail.slice(0, this.#position)
    const start = this.#position % tailBytes
    const ordered = new Uint8Array(tailBytes)
    ordered.set(this.#tail.subarray(start))
    ordered.set(this.#tail.subarray(0, start), tailBytes - start)
    return ordered
  }
}

/** Chunks that go through unchanged, with the verdict on them. */
export interface InspectedStream extends AsyncIterable<Uint8Array> {
  /** What the head says, once the first MiB or the end went by. */
  readonly headVerdict: Promise<InspectionResult>
  /** The verdict. Rejects if the source fails or the consumer stops early. */
  readonly result: Promise<InspectionResult>
}

/**
 * Passes an async iterable through, looking at what goes by. The source is read only as fast as the result is.
 *
 * @example
 * const stream = inspectStream(source)
 * await pipeline(stream, createWriteStream(path))
 * const { safe } = await stream.result
 */
export function inspectStream(source: AsyncIterable<Uint8Array>): InspectedStream {
  const inspector = createInspector()
  const head = settle()
  const whole = settle()
  return {
    headVerdict: head.promise,
    result: whole.promise,
    async *[Symbol.asyncIterator]() {
      let finished = false
      let failure: unknown
      try {
        for await (const chunk of source) {
          inspector.write(chunk)
          tell(inspector, head)
          yield chunk
        }
        whole.resolve(inspector.end())
        tell(inspector, head)
        finished = true
      } catch (error) {
        failure = error
        throw error
      } finally {
        if (!finished) {
          const reason = failure ?? new TypeError('the stream was left before its end')
          head.reject(reason)
          whole.reject(reason)
        }
      }
    },
  }
}

/** The same as a web stream. */
export interface InspectionTransform extends TransformStream<Uint8Array, Uint8Array> {
  readonly headVerdict: Promise<InspectionResult>
  readonly result: Promise<InspectionResult>
}

/**
 * A web TransformStream that passes bytes through unchanged and judges them.
 *
 * @example
 * const inspection = createInspectionTransform()
 * await response.body.pipeThrough(inspection).pipeTo(target)
 * const { safe } = await inspection.result
 */
export function createInspectionTransform(): InspectionTransform {
  const inspector = createInspector()
  const head = settle()
  const whole = settle()
  // `cancel` is called where the runtime has it; the type does not know it yet.
  const transformer: Transformer<Uint8Array, Uint8Array> & { cancel(reason: unknown): void } = {
    transform(chunk, controller) {
      inspector.write(chunk)
      tell(inspector, head)
      controller.enqueue(chunk)
    },
    flush() {
      whole.resolve(inspector.end())
      tell(inspector, head)
    },
    cancel(reason: unknown) {
      head.reject(reason)
      whole.reject(reason)
    },
  }
  const stream = new TransformStream<Uint8Array, Uint8Array>(transformer)
  return Object.assign(stream, { headVerdict: head.promise, result: whole.promise })
}

function tell(inspector: Inspector, head: Settling): void {
  const verdict = inspector.headVerdict()
  if (verdict !== undefined) head.resolve(verdict)
}

type Settling = PromiseWithResolvers<InspectionResult>

/** A promise that nobody need wait for. */
function settle(): Settling {
  const settling = Promise.withResolvers<InspectionResult>()
  settling.promise.catch(() => undefined)
  return settling
}
