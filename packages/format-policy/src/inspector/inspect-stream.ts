import { createInspector, type Inspector } from './create-inspector.ts'
import type { InspectionResult } from './result.ts'

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
